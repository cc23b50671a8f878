//! Settings that are a choice among a few.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use crate::base::name::RepoName;

/// The policy for asking Kubo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskPolicy {
    /// Unless a proxy is set.
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// The weight of an event in the daemon's log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum LogLevel {
    /// Something does not work as configured.
    Warning,
    /// A transfer or a connection has ended.
    Info,
}

/// The policy for searches of the whole network by Kubo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SearchPolicy {
    /// After all other sources failed.
    Last,
    /// From the start.
    Always,
    /// Not at all.
    Never,
}

/// The repositories whose files peers may be asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) enum SharePolicy {
    /// Those whose servers are all public.
    #[default]
    Public,
    /// These.
    Named(Vec<RepoName>),
}

//! The neighbours and the pending updates, each with the command that leads to more of them.

use maud::{Markup, html};

use super::super::glance::Glance;
use super::bytes;
use crate::base::name::shown;
use crate::host::inspect::daemon::DaemonView;
use crate::pacman::prefetch::state::{PendingUpdate, UpdateStanding};
use crate::report::counted;

/// Updates that are shown without being asked for, and most that are shown at all.
const AT_ONCE: usize = 12;
const MOST: usize = 500;

/// Lists the neighbours.
pub(super) fn neighbours(glance: &Glance<'_>) -> Markup {
    let known = glance.neighbours();
    html! {
        section aria-labelledby="neighbours" {
            h2 id="neighbours" { "Neighbours" }
            @if known.is_empty() {
                @match &glance.found.daemon {
                    DaemonView::NotAsked => p.quiet { "Sharing is off: " code { "lan.enabled" } " is false." },
                    DaemonView::Answers(..) => {
                        p { "None is connected." }
                        p.quiet {
                            "Another machine of this network becomes one after " code { "sudo pkgswarm setup" } " there."
                        }
                    },
                    DaemonView::Silent(_) => {
                        p { "The daemon that finds them does not answer." }
                        p.quiet { "Its log: " code { "journalctl -u pkgswarm-daemon" } "." }
                    },
                    DaemonView::NotRunning => {
                        p { "The daemon that finds them is not running." }
                        p.quiet { "It is started by " code { "sudo pkgswarm setup" } "." }
                    },
                }
            } @else {
                table {
                    thead {
                        tr {
                            th scope="col" { "Address" }
                            th scope="col" { "What" }
                            th.figure scope="col" { "Received" }
                            th.figure scope="col" { "Sent" }
                        }
                    }
                    tbody {
                        @for one in &known {
                            tr {
                                th scope="row" { (shown(&one.address)) }
                                td { (shown(&one.what)) }
                                @match one.moved {
                                    Some((received, sent)) => {
                                        td.figure { (bytes(received)) }
                                        td.figure { (bytes(sent)) }
                                    },
                                    None => { td.figure { "–" } td.figure { "–" } },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Lists the pending updates.
pub(super) fn updates(glance: &Glance<'_>) -> Markup {
    let pending = &glance.found.updates;
    let (first, rest) = pending.updates.split_at(pending.updates.len().min(AT_ONCE));
    html! {
        section aria-labelledby="updates" {
            h2 id="updates" { "Pending updates" }
            @if pending.checked == 0 {
                p { "Not known yet." }
                p.quiet { code { "sudo pkgswarm prefetch" } " looks for them and fetches them ahead." }
            } @else if first.is_empty() {
                p.quiet { "None." }
            } @else {
                (list(first))
                @if !rest.is_empty() {
                    details {
                        summary { (counted(rest.len(), "update")) " more" }
                        (list(&rest[..rest.len().min(MOST)]))
                    }
                    @if rest.len() > MOST { p.quiet { "All of them: " code { "pkgswarm status --long" } } }
                }
            }
        }
    }
}

fn list(updates: &[PendingUpdate]) -> Markup {
    html! {
        table.packages {
            thead { tr { th scope="col" { "Package" } th scope="col" { "State" } th.figure scope="col" { "Size" } } }
            tbody {
                @for update in updates {
                    tr {
                        th scope="row" {
                            (shown(&update.name))
                            span.under {
                                @if let Some(old) = &update.old { (shown(old)) " → " }
                                (shown(&update.new))
                            }
                        }
                        td { (standing(update)) }
                        td.figure { (bytes(update.size)) }
                    }
                }
            }
        }
    }
}

fn standing(update: &PendingUpdate) -> Markup {
    html! {
        @match &update.stands {
            UpdateStanding::Here => span.good { "ready" },
            UpdateStanding::Left(why) => (why.words()),
            UpdateStanding::Pending => "not fetched yet",
            UpdateStanding::Failed(why) => span.poor { (shown(why)) },
        }
    }
}

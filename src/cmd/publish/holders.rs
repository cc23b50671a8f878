//! What a run says of the clusters and pinning services that shall hold the publication.

use crate::base::error::{Error, ErrorKind};
use crate::publish::{HoldingWord, PublishReport};
use crate::report;

/// Returns the error of the first one that does not hold it and says why.
pub(super) fn failure(report: &PublishReport) -> Option<Error> {
    let holder = report.holders.iter().flatten().find(|holder| holder.state == HoldingWord::Failed)?;
    let why = holder.why.as_deref().unwrap_or("gave up");
    let error = Error::new(ErrorKind::NoSource, format!("pins.{}", holder.holder), why);
    Some(error.hint("the publication itself is in place; the next run asks again"))
}

/// Says which of the others are at work, and what is wrong there.
pub(super) fn tell(report: &PublishReport) {
    for holder in report.holders.iter().flatten().filter(|holder| holder.state != HoldingWord::Failed) {
        match (&holder.why, holder.state) {
            (Some(why), _) => report::say(&format!("warning: pins.{}: {why}", holder.holder)),
            (None, HoldingWord::Pending) => {
                report::say(&format!("pins.{}: at work; the next run looks", holder.holder));
            }
            _ => {}
        }
    }
}

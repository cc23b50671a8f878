//! Removing pins from a target that takes one at a time.

use std::time::Instant;

use crate::pins::{PinError, PresentPin, Removal};

/// Removes these pins in this order, until `until` or a failure that all further ones would meet; returns a result for each
/// one that it came to.
pub(super) async fn remove_each(
    pins: &[PresentPin],
    until: Instant,
    remove: impl AsyncFn(&PresentPin) -> Result<Removal, PinError>,
) -> Vec<(PresentPin, Result<Removal, PinError>)> {
    let mut results = Vec::new();
    for pin in pins {
        if Instant::now() >= until {
            break;
        }
        let result = remove(pin).await;
        let is_over = result.as_ref().is_err_and(PinError::is_of_target);
        results.push((pin.clone(), result));
        if is_over {
            break;
        }
    }
    results
}

//! The listener of a delivery. The engine prints nothing: what people may want to see while a file is on its way is
//! told to a listener that the caller gives, and everything else is in the receipt or in the error.

/// A receiver of the progress of one delivery after the other. It is called often, and must not wait.
pub trait Listener {
    /// Begins with the file called `name`, of `size` bytes, if that is known.
    fn begins(&self, name: &str, size: Option<u64>) {
        let _ = (name, size);
    }

    /// Counts the `bytes` of it that are here; the last came from the source called `from`.
    fn arrived(&self, bytes: u64, from: &str) {
        let _ = (bytes, from);
    }

    /// Explains a pause, in one line.
    fn waits(&self, why: &str) {
        let _ = why;
    }

    /// Ends with the file, whether it came or not.
    fn ends(&self) {}
}

/// The listener that ignores everything.
#[derive(Clone, Copy, Default, Debug)]
pub struct Unheard;

impl Listener for Unheard {}

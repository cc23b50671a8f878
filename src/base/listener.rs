//! The listener of a delivery. The engine prints nothing: what people may want to see while a file is on its way is
//! told to a listener that the caller gives, and everything else is in the receipt or in the error.

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

use std::fs::File;
use std::rc::Rc;

/// A wish about where a file stays once it is handed out; the strongest one of its listeners counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum StayWish {
    /// Nowhere.
    #[default]
    Nowhere,
    /// In the store, unless this machine has it elsewhere, or is short of room.
    AsUsual,
    /// In the store until a later call takes it, and as usual after that.
    UntilTaken,
    /// In the store, whatever the source.
    Lasting,
}

/// A receiver of the progress of one delivery after the other. It is called often, and must not wait.
pub trait Listener {
    /// Begins with the file called `name`, of `size` bytes, if that is known.
    fn begins(&self, name: &str, size: Option<u64>) {
        let _ = (name, size);
    }

    /// Tells that `bytes` of it were here before: they are progress, and have not arrived now.
    fn kept(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Tells that sources are asked from now on: what was kept has been hashed again.
    fn asks(&self) {}

    /// Tells whether a source has said that it fetches the file itself and sends it then, so that silence means nothing.
    fn promised(&self, is_promised: bool) {
        let _ = is_promised;
    }

    /// Counts the `bytes` of it that are here; the last came from the source called `from`.
    fn arrived(&self, bytes: u64, from: &str) {
        let _ = (bytes, from);
    }

    /// Takes the partial file, which grows from now on; of an earlier one nothing is true any more.
    fn grows(&self, partial: &File) {
        let _ = partial;
    }

    /// True to have leaves proven as they come, and told: it may cost the root block.
    fn wants_leaves(&self) -> bool {
        false
    }

    /// Wishes where the file stays. Asked once it is whole.
    fn stays(&self) -> StayWish {
        StayWish::Nowhere
    }

    /// Counts the bytes from the beginning of the partial file on that are leaves proven by the root. Nothing is
    /// written over them, unless that is [withdrawn](Self::withdrawn) first.
    fn proven(&self, until: u64) {
        let _ = until;
    }

    /// Withdraws all leaves: the root was another file's.
    fn withdrawn(&self) {}

    /// Explains a pause, in one line.
    fn waits(&self, why: &str) {
        let _ = why;
    }

    /// Ends with the file, whether it came or not.
    fn ends(&self) {}
}

impl<L: Listener + ?Sized> Listener for Rc<L> {
    fn begins(&self, name: &str, size: Option<u64>) {
        (**self).begins(name, size);
    }

    fn kept(&self, bytes: u64) {
        (**self).kept(bytes);
    }

    fn asks(&self) {
        (**self).asks();
    }

    fn promised(&self, is_promised: bool) {
        (**self).promised(is_promised);
    }

    fn arrived(&self, bytes: u64, from: &str) {
        (**self).arrived(bytes, from);
    }

    fn grows(&self, partial: &File) {
        (**self).grows(partial);
    }

    fn wants_leaves(&self) -> bool {
        (**self).wants_leaves()
    }

    fn stays(&self) -> StayWish {
        (**self).stays()
    }

    fn proven(&self, until: u64) {
        (**self).proven(until);
    }

    fn withdrawn(&self) {
        (**self).withdrawn();
    }

    fn waits(&self, why: &str) {
        (**self).waits(why);
    }

    fn ends(&self) {
        (**self).ends();
    }
}

/// The listener that ignores everything.
#[derive(Clone, Copy, Default, Debug)]
pub struct Unheard;

impl Listener for Unheard {}

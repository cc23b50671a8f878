//! The clocks of asking peers for blocks: of one block (`blocks`) and of a whole file (`fetch`).

use std::time::Duration;

use crate::base::hedge::Hedge;

/// Most time for peers to answer whether they have a block or a file, if none said yes and other sources can be asked.
/// Origin: below the head start.
pub(super) const SEARCH: Duration = Duration::from_millis(250);

/// When a block that was asked of one peer is asked of another one as well: after a second of silence, or when it has
/// been coming for as long as 1 MiB takes at 175 KB/s.
pub(super) const HEDGE: Hedge = Hedge { silent: Duration::from_secs(1), slow: Duration::from_secs(6) };

/// Silence of all peers after which a block or a file is given up.
pub(super) const GIVE_UP: Duration = Duration::from_secs(8);

/// Longest time for one block, or from one block to the next, whatever comes meanwhile: 2 MiB at 17 KB/s.
pub(super) const LONGEST: Duration = Duration::from_secs(120);

/// Interval between checks for silence.
pub(super) const TICK: Duration = Duration::from_millis(50);

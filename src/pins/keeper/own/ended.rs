//! Ends a share in the store.

use std::collections::HashSet;

use crate::base::digest::Sha256;
use crate::base::error::{Error, ErrorKind};
use crate::pins::keeper::release::Released;
use crate::pins::keeper::state::KeeperPlace;
use crate::pins::keeper::work::bytes_of;
use crate::store::kept::StoreShare;

/// Ends `share`. With `stays`, its files stay as the user's own, in the directory that [`StoreShare::left_dir`]
/// names.
///
/// # Errors
/// `NoSource` while a round is at work; `Local` when files cannot be removed or moved. Ending it again goes on.
pub(crate) fn release_from_store(
    share: &StoreShare,
    place: &KeeperPlace,
    name: &str,
    (stays, uid): (bool, u32),
) -> Result<Released, Error> {
    let Some(_alone) = place.enter()? else {
        return Err(Error::new(ErrorKind::NoSource, name, "a round of this share is at work")
            .hint(format!("`pkgswarm keep stop {name}` again when it has ended")));
    };
    let failed = |e: std::io::Error| Error::local(share.dir().display(), e);
    let files = place.read().map(|state| state.files).unwrap_or_default();
    let here = share.files().map_err(failed)?;
    let of_user: HashSet<Sha256> = files.values().filter(|file| !file.ours).filter_map(|file| file.sha256).collect();
    let mut removed = 0;
    for sha256 in here.keys().copied() {
        if stays {
            share.leave(sha256, uid).map_err(failed)?;
        } else if of_user.contains(&sha256) {
            share.give_back(sha256).map_err(failed)?;
        } else {
            share.remove(sha256).map_err(failed)?;
            removed += 1;
        }
    }
    share.end().map_err(failed)?;
    place.forget()?;
    Ok(Released { files: here.len(), bytes: bytes_of(&files), removed })
}

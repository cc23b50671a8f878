//! The packages that went into Kubo as they came, while no root holds them yet.
//!
//! Each is pinned by its own import, so that its bytes can go from this disk at once; when the root of a publication is
//! pinned, these pins are removed. They have no name: Kubo gives one only to a root that it pins anew. What makes them ours
//! is the list `arrived` in the directory of `memory.rs`, in which a package stands before its blocks are sent: a line is
//! `ours` or, where the pin was there before, `user`, then the sha256 of the package and its CID. A pin of the user, and one
//! that has got a name since, stays (`a_pin_of_the_users_own_is_taken_as_it_is_and_stays`).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::FollowError;
use super::memory::dir_in;
use crate::base::budget::Budget;
use crate::base::cid::{BlockCid, Cid};
use crate::base::digest::Sha256;
use crate::base::fsx::{self, Lasting};
use crate::dag::build::build_blocks;
use crate::net::kubo::{Kubo, KuboError, KuboErrorKind, upload};
use crate::publish::hash::Hashed;

/// Longest wait for one import, beside the time that its bytes take at the slowest rate.
const PATIENCE: Duration = Duration::from_secs(300);
/// Slowest rate that is waited for, in bytes a second.
const SLOWEST: u64 = 1 << 20;
/// Bytes after which the daemon is asked again how much room it has.
const LOOK_EVERY: u64 = 1 << 30;
/// Pins that are removed by one call: they are in its URL.
const AT_ONCE: usize = 200;
/// Time after which a run removes no more of them; 600 took three seconds.
const RELEASE: Duration = Duration::from_secs(300);

/// The list, and what the daemon says of it.
pub(in crate::publish) struct ArrivedPins<'k> {
    kubo: &'k Kubo,
    path: PathBuf,
    pins: RefCell<BTreeMap<BlockCid, ArrivedPin>>,
    /// Bytes that were given to the daemon since it was asked for its room.
    unlooked: Cell<u64>,
    /// Bytes that were given to it in this run, and those that are still to come.
    pub(in crate::publish) sent: Cell<u64>,
    to_come: Cell<u64>,
}

/// A package in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::publish) struct ArrivedPin {
    pub(in crate::publish) package: Sha256,
    pub(in crate::publish) cid: BlockCid,
    /// True for a pin that is not ours to remove.
    is_users: bool,
    /// True when the daemon had it pinned at the last look.
    is_there: bool,
}

impl<'k> ArrivedPins<'k> {
    /// Reads the list of the publisher with this state, and looks what the daemon has of it. An empty one asks nothing.
    ///
    /// # Errors
    /// `Kubo` when the daemon does not tell; trying again later may help. `Local`.
    pub(in crate::publish) async fn open(state_dir: &Path, kubo: &'k Kubo) -> Result<Self, FollowError> {
        let path = dir_in(state_dir).join("arrived");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(FollowError::Local { path, error }),
        };
        // Of two lines the later one counts; what was cut short was not sent.
        let pins = text.lines().filter_map(read).map(|pin| (pin.cid, pin)).collect();
        let pins = RefCell::new(pins);
        let this = Self { kubo, path, pins, unlooked: Cell::new(0), sent: Cell::new(0), to_come: Cell::new(0) };
        this.look().await?;
        Ok(this)
    }

    /// Looks which of the packages the daemon still has pinned: pins are removed by hand, and repositories wiped.
    pub(in crate::publish) async fn look(&self) -> Result<(), FollowError> {
        if self.pins.borrow().is_empty() {
            return Ok(());
        }
        let there = self.pinned().await?;
        for pin in self.pins.borrow_mut().values_mut() {
            let name = there.get(&Cid::from(pin.cid));
            pin.is_there = name.is_some();
            pin.is_users |= name.is_some_and(|name| !name.is_empty());
        }
        Ok(())
    }

    /// Returns true for a package that the daemon had pinned at the last look.
    pub(in crate::publish) fn has(&self, cid: BlockCid) -> bool {
        self.pins.borrow().get(&cid).is_some_and(|pin| pin.is_there)
    }

    /// Returns the bytes that the daemon has room for.
    ///
    /// # Errors
    /// `Kubo`.
    pub(super) async fn room(&self) -> Result<u64, FollowError> {
        let size = self.kubo.repo_size().await?;
        self.unlooked.set(0);
        Ok(Budget::of(size.most).room(size.used, u64::MAX))
    }

    /// Remembers how many bytes this run is going to give it.
    pub(super) fn expect(&self, bytes: u64) {
        self.to_come.set(bytes);
    }

    /// Has the daemon hold the package at `path`, of which `hashed` was computed just now.
    ///
    /// # Errors
    /// `Space`, `Kubo` or `Local`: then the bytes must stay; trying again goes on there.
    pub(super) async fn take(&self, path: &Path, hashed: &Hashed) -> Result<(), FollowError> {
        let cid = hashed.cid;
        let known = self.pins.borrow().get(&cid).copied();
        let pin = |is_users| ArrivedPin { package: hashed.sha256, cid, is_users, is_there: true };
        let pin = match (self.kubo.pin_name(cid.into()).await?, known) {
            // What an interrupted run has sent.
            (Some(name), Some(known)) if name.is_empty() => ArrivedPin { is_there: true, ..known },
            (Some(_), _) => self.note(pin(true))?,
            (None, _) => {
                let size = hashed.dag_size;
                if self.unlooked.get() + size > LOOK_EVERY {
                    let free = self.room().await?;
                    if size > free {
                        return Err(FollowError::Space { need: self.to_come.get().max(size), free });
                    }
                }
                let pin = self.note(pin(false))?;
                self.import(path, hashed).await?;
                self.unlooked.set(self.unlooked.get() + size);
                self.sent.set(self.sent.get() + size);
                pin
            }
        };
        self.to_come.set(self.to_come.get().saturating_sub(hashed.size));
        self.pins.borrow_mut().insert(cid, pin);
        Ok(())
    }

    /// Sends the blocks, and has them pinned in the same call, which keeps the daemon's collector away from them.
    async fn import(&self, path: &Path, hashed: &Hashed) -> Result<(), FollowError> {
        let (path, root) = (path.to_owned(), Cid::from(hashed.cid));
        let car = upload::car(root, move |put| match build_blocks(fsx::open_read(&path)?, put)?.root == root {
            true => Ok(()),
            false => Err(io::Error::other("the package changed while it was sent")),
        });
        let deadline = PATIENCE + Duration::from_secs(hashed.dag_size / SLOWEST);
        self.kubo.import(car, root, true, deadline).await.map_err(|fault| match fault.kind {
            KuboErrorKind::NoSpace => {
                let text = format!("{}; the next run goes on with this package", fault.text);
                KuboError::new(fault.call, fault.kind, text).into()
            }
            _ => fault.into(),
        })
    }

    /// Writes a package down, for good, before anything of it is sent.
    fn note(&self, pin: ArrivedPin) -> Result<ArrivedPin, FollowError> {
        fsx::add_line(&self.path, &line(&pin), Lasting::Synced).map_err(FollowError::local(&self.path))?;
        self.pins.borrow_mut().insert(pin.cid, ArrivedPin { is_there: false, ..pin });
        Ok(pin)
    }

    /// Does [`release`](Self::release) once `root`, which holds what is still wanted, is pinned.
    ///
    /// # Errors
    /// As there.
    pub(in crate::publish) async fn release_below(
        &self,
        root: Cid,
        is_over: impl Fn(&ArrivedPin) -> bool,
    ) -> Result<(), FollowError> {
        let is_empty = self.pins.borrow().is_empty();
        if is_empty || !self.kubo.is_pinned(root).await? { Ok(()) } else { self.release(is_over).await }
    }

    /// Removes the pins of packages that are not wanted any more, or held by a root, and strikes them off the list. What
    /// there is no time for is left to the next run.
    ///
    /// # Errors
    /// `Kubo` or `Local`: what was not removed is still in the list.
    pub(in crate::publish) async fn release(&self, is_over: impl Fn(&ArrivedPin) -> bool) -> Result<(), FollowError> {
        let over: Vec<ArrivedPin> = self.pins.borrow().values().filter(|pin| is_over(pin)).copied().collect();
        if over.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + RELEASE;
        for batch in over.chunks(AT_ONCE) {
            if Instant::now() >= until {
                break;
            }
            // Asked again each time: one that the user has named a moment ago stays.
            let there = self.pinned().await?;
            let is_ours =
                |pin: &&ArrivedPin| !pin.is_users && there.get(&Cid::from(pin.cid)).is_some_and(|name| name.is_empty());
            let ours: Vec<Cid> = batch.iter().filter(is_ours).map(|pin| pin.cid.into()).collect();
            self.kubo.unpin_all(&ours).await?;
            for pin in batch {
                self.pins.borrow_mut().remove(&pin.cid);
            }
            let lines: String = self.pins.borrow().values().map(line).collect();
            fsx::replace_synced(&self.path, lines.as_bytes()).map_err(FollowError::local(&self.path))?;
        }
        Ok(())
    }

    async fn pinned(&self) -> Result<HashMap<Cid, String>, KuboError> {
        Ok(self.kubo.pins().await?.into_iter().collect())
    }
}

/// Counts the pins of ours that are in the list of the publisher with this state, for a run that asks no daemon.
pub(in crate::publish) fn arrived_count(state_dir: &Path) -> usize {
    let text = std::fs::read_to_string(dir_in(state_dir).join("arrived")).unwrap_or_default();
    let pins: BTreeMap<BlockCid, bool> = text.lines().filter_map(read).map(|pin| (pin.cid, pin.is_users)).collect();
    pins.values().filter(|is_users| !**is_users).count()
}

fn line(pin: &ArrivedPin) -> String {
    format!("{} {} {}\n", if pin.is_users { "user" } else { "ours" }, pin.package, pin.cid)
}

fn read(line: &str) -> Option<ArrivedPin> {
    let mut words = line.split(' ');
    let is_users = match words.next()? {
        "ours" => false,
        "user" => true,
        _ => return None,
    };
    let (package, cid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(ArrivedPin { package, cid, is_users, is_there: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::kubo::script::{Script, ScriptedAnswer, ok};
    use crate::publish::hash::hash_file;

    /// A package on this disk, and a daemon with these answers.
    struct Desk {
        dir: tempfile::TempDir,
        script: Script,
        hashed: Hashed,
    }

    fn not_pinned() -> ScriptedAnswer {
        ScriptedAnswer::Status(500, br#"{"Message":"path 'x' is not pinned","Code":0,"Type":"error"}"#.to_vec())
    }

    fn pinned(hashed: &Hashed, name: &str) -> ScriptedAnswer {
        ok(format!(r#"{{"Keys":{{"{}":{{"Type":"recursive","Name":"{name}"}}}}}}"#, Cid::from(hashed.cid)))
    }

    fn imported(hashed: &Hashed) -> ScriptedAnswer {
        let root = format!(r#"{{"Root":{{"Cid":{{"/":"{}"}},"PinErrorMsg":""}}}}"#, Cid::from(hashed.cid));
        ok(format!("{root}\n{{\"Stats\":{{\"BlockCount\":1,\"BlockBytesCount\":7}}}}\n"))
    }

    impl Desk {
        /// `noted` is what the list says before; `answers` come first.
        fn with(noted: &str, answers: impl FnOnce(&Hashed) -> Vec<(&'static str, ScriptedAnswer)>) -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir_in(dir.path())).unwrap();
            std::fs::write(dir.path().join("package"), "package").unwrap();
            let hashed = hash_file(&dir.path().join("package"), None).unwrap();
            if !noted.is_empty() {
                let line = format!("{noted} {} {}\n", hashed.sha256, hashed.cid);
                std::fs::write(dir_in(dir.path()).join("arrived"), line).unwrap();
            }
            Self { script: Script::answering(answers(&hashed)), dir, hashed }
        }

        fn list(&self) -> Vec<String> {
            let text = std::fs::read_to_string(dir_in(self.dir.path()).join("arrived")).unwrap_or_default();
            text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
        }

        /// Counts the calls of this command.
        fn calls(&self, call: &str) -> usize {
            self.script.asked().iter().filter(|asked| asked.line.contains(&format!("/{call}?"))).count()
        }

        /// Takes the package, then removes the pins of all; returns what came of the first.
        fn taken_and_released(&self) -> Result<(), FollowError> {
            let kubo = self.script.kubo();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let arrived = ArrivedPins::open(self.dir.path(), &kubo).await.unwrap();
                let taken = arrived.take(&self.dir.path().join("package"), &self.hashed).await;
                assert_eq!(arrived.has(self.hashed.cid), taken.is_ok());
                arrived.release(|_| taken.is_ok()).await.unwrap();
                // Who asks now, and not with an older list, is told that a package without a pin must come again.
                assert!(!arrived.has(self.hashed.cid));
                taken
            })
        }
    }

    #[test]
    fn a_package_is_in_the_list_before_it_is_sent_and_a_daemon_without_room_takes_it_next_time() {
        let full = ScriptedAnswer::Status(500, br#"{"Message":"write /x: no space left on device"}"#.to_vec());
        let desk = Desk::with("", |_| vec![("pin/ls?arg", not_pinned()), ("dag/import", full)]);
        let error = desk.taken_and_released().unwrap_err();
        assert!(matches!(&error, FollowError::Kubo(fault) if fault.kind == KuboErrorKind::NoSpace), "{error}");
        assert!(error.to_string().contains("the next run goes on with this package"), "{error}");
        assert_eq!((desk.list(), desk.calls("pin/rm")), (vec!["ours".to_owned()], 0));
        assert!(desk.script.asked().last().unwrap().line.contains("pin-roots=true"));
    }

    #[test]
    fn a_pin_of_the_users_own_is_taken_as_it_is_and_stays() {
        for (noted, name) in [("", ""), ("", "mine"), ("user", ""), ("ours", "mine")] {
            let desk = Desk::with(noted, |hashed| {
                vec![("pin/ls?arg", pinned(hashed, name)), ("pin/ls?type", pinned(hashed, name))]
            });
            desk.taken_and_released().unwrap();
            let calls = ["dag/import", "pin/add", "pin/rm"].map(|call| desk.calls(call));
            assert_eq!((calls, desk.list().len()), ([0; 3], 0), "{noted:?} {name:?}");
        }
    }

    #[test]
    fn what_an_interrupted_run_has_sent_is_not_sent_again_and_what_it_has_not_is() {
        let removed = || ("pin/rm", ok(r#"{"Pins":[]}"#));
        let sent = Desk::with("ours", |hashed| {
            vec![("pin/ls?arg", pinned(hashed, "")), ("pin/ls?type", pinned(hashed, "")), removed()]
        });
        sent.taken_and_released().unwrap();
        assert_eq!((sent.calls("dag/import"), sent.calls("pin/rm"), sent.list().len()), (0, 1, 0));
        let unsent = Desk::with("ours", |hashed| {
            vec![
                ("pin/ls?arg", not_pinned()),
                ("pin/ls?type", pinned(hashed, "")),
                ("dag/import", imported(hashed)),
                removed(),
            ]
        });
        unsent.taken_and_released().unwrap();
        assert_eq!((unsent.calls("dag/import"), unsent.calls("pin/rm"), unsent.list().len()), (1, 1, 0));
    }

    #[test]
    fn a_line_that_was_cut_short_is_of_no_pin() {
        let line = format!("user {} {}", Sha256::of(b"a"), BlockCid::raw(Sha256::of(b"a")));
        assert!(read(&line).is_some_and(|pin| pin.is_users));
        assert!((0..line.len()).all(|end| read(&line[..end]).is_none()));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(arrived_count(dir.path()), 0);
        std::fs::create_dir(dir_in(dir.path())).unwrap();
        let [ours, later] = [(b"b", "ours"), (b"a", "ours")]
            .map(|(bytes, whose)| format!("{whose} {} {}\n", Sha256::of(bytes), BlockCid::raw(Sha256::of(bytes))));
        std::fs::write(dir_in(dir.path()).join("arrived"), format!("{ours}{later}{line}\n")).unwrap();
        assert_eq!(arrived_count(dir.path()), 1, "of two lines of one package the later one counts");
    }
}

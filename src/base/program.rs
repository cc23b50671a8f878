//! Runs other programs and returns their output: bounded in time and size, and only programs that may be run
//! ([`found`]).

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

mod trust;

/// The reason why a program gave no answer. Trying again may help only after `TooSlow`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SilentError {
    /// It is not installed, or cannot be run by this user.
    #[error("{} cannot be run: {cause}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
    /// It ended with another status than 0.
    #[error("{} failed ({status}): {message}", program.display())]
    Refused {
        /// The program.
        program: PathBuf,
        /// Its exit status.
        status: ExitStatus,
        /// Its standard output.
        output: String,
        /// The beginning of its standard error.
        message: String,
    },
    /// No answer in time.
    #[error("{} did not answer in {} s", program.display(), patience.as_secs())]
    TooSlow {
        /// The program.
        program: PathBuf,
        /// Time that it had.
        patience: Duration,
    },
    /// More output than its answers have.
    #[error("{} printed more than {most} bytes", program.display())]
    TooMuch {
        /// The program.
        program: PathBuf,
        /// Bytes allowed.
        most: u64,
    },
}

/// Returns an ended standard input, or an unread output: `/dev/null`, and where `/dev` is empty an end of a pipe.
pub(crate) fn nowhere() -> Stdio {
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").map(Stdio::from);
    null.unwrap_or_else(|_| std::io::pipe().map_or_else(|_| Stdio::inherit(), |(end, _)| end.into()))
}

/// Finds the file that running `program` means: a path, or a name that is looked up in `PATH` as execvp(3) does.
/// Where another user decides about `PATH`, or this is root, only at a fixed place, or where root alone may write
/// on the whole way to it.
pub(crate) fn found(program: &Path) -> Option<PathBuf> {
    trust::found(program, std::env::var_os("PATH").as_deref())
}

/// Returns the same command with the path at which the program was found.
fn located(command: &Command) -> io::Result<Command> {
    let own_path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
    let path = own_path.map(ToOwned::to_owned).or_else(|| std::env::var_os("PATH"));
    let name = Path::new(command.get_program());
    let Some(at) = trust::found(name, path.as_deref()) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "not found in a place where only root may write"));
    };
    let mut located = Command::new(at);
    located.args(command.get_args());
    if let Some(safe) = trust::path() {
        // It looks for programs of its own: gpgme for gpg, a script for everything.
        located.env("PATH", safe);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => located.env(name, value),
            None => located.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        located.current_dir(dir);
    }
    Ok(located)
}

/// Runs `command` with `input` on its stdin, in the C locale, and returns its output when it ends with status 0.
///
/// # Errors
/// `SilentError`. A program that is too slow or prints too much is killed.
pub(crate) fn hear(command: Command, input: &[u8], patience: Duration, most: u64) -> Result<String, SilentError> {
    let program = PathBuf::from(command.get_program());
    let failed = |cause| SilentError::Program { program: program.clone(), cause };
    let too_slow = || SilentError::TooSlow { program: program.clone(), patience };
    let until = Instant::now() + patience;
    let mut command = located(&command).map_err(failed)?;
    command.env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(&failed)?;
    let stdin = child.stdin.take();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let input = input.to_vec();
    // Threads, because each of the three pipes can block the other two. They end with the process.
    thread::spawn(move || stdin.map(|mut to| to.write_all(&input)));
    let output = collect(stdout, most + 1);
    let message = collect(stderr, 4096);
    let outcome = output.recv_timeout(patience).map_err(|_| too_slow()).and_then(|output| {
        if output.len() as u64 > most {
            return Err(SilentError::TooMuch { program: program.clone(), most });
        }
        Ok(output)
    });
    let outcome =
        outcome.and_then(|output| Ok((output, ended(&mut child, until).map_err(&failed)?.ok_or_else(too_slow)?)));
    let (output, status) = match outcome {
        Ok(both) => both,
        Err(error) => {
            let _ended_already = child.kill();
            let _status_is_of_no_use = child.wait();
            return Err(error);
        }
    };
    let output = String::from_utf8_lossy(&output).into_owned();
    if status.success() {
        return Ok(output);
    }
    let message = message.recv_timeout(Duration::from_millis(100)).unwrap_or_default();
    let message = String::from_utf8_lossy(&message).trim().replace('\n', "; ");
    Err(SilentError::Refused { program, status, output, message })
}

/// Returns its status, or `None` when it is still running at `until`.
fn ended(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > until {
            return Ok(None);
        }
        // Its output has ended, so this is a matter of microseconds.
        thread::sleep(Duration::from_micros(200));
    }
}

fn collect(from: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // Bytes read before an error are the whole answer.
        let _partial = from.map(|from| from.take(most).read_to_end(&mut bytes));
        let _receiver_is_gone = send.send(bytes);
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn patient(script: &str) -> Result<String, SilentError> {
        hear(sh(script), b"input", Duration::from_secs(60), 1 << 20)
    }

    #[test]
    fn output_comes_back_and_input_arrives() {
        assert_eq!(patient("cat; echo more").unwrap(), "inputmore\n");
    }

    #[test]
    fn a_program_that_hangs_is_ended_in_time() {
        let started = Instant::now();
        let short = Duration::from_millis(50);
        for script in ["exec sleep 600", "exec >&-; exec sleep 600"] {
            assert!(matches!(hear(sh(script), b"", short, 10), Err(SilentError::TooSlow { .. })), "{script}");
        }
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_program_that_never_stops_talking_is_ended() {
        assert!(matches!(patient("exec yes"), Err(SilentError::TooMuch { .. })));
    }

    #[test]
    fn a_refusal_is_quoted() {
        let error = patient("echo 'could not open file x' >&2; exit 1").unwrap_err();
        assert!(error.to_string().ends_with("could not open file x"), "{error}");
    }
}

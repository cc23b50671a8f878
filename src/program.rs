//! Other programs that are asked for something: bounded in time and output, never with our terminal.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may take and how much it may print.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest time until it has ended; it is killed then.
    pub patience: Duration,
    /// Most bytes of output that are read.
    pub output: u64,
}

/// Most bytes that are read of what it complains about.
const COMPLAINTS: u64 = 16 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It is not installed, or cannot be run by this user.
    #[error("{0} cannot be run: {1}")]
    Program(String, io::Error),
    /// It said no.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// The program asked.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it complained about, on one line.
        message: String,
    },
    /// It took longer than allowed. Trying again later may help.
    #[error("{0} did not answer in {1} s")]
    TooSlow(String, u64),
    /// It printed more than allowed.
    #[error("{0} printed more than {1} bytes")]
    TooMuch(String, u64),
}

/// What `program` (looked for in PATH) prints when called with `words`.
///
/// # Errors
/// [`NoAnswer`]; a status other than 0 is no answer.
pub fn output<S: AsRef<OsStr>>(
    program: &str,
    words: impl IntoIterator<Item = S>,
    limits: Limits,
) -> Result<String, NoAnswer> {
    let mut command = Command::new(program);
    // Nothing of it may depend on the language of the user.
    command.args(words).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| NoAnswer::Program(program.to_owned(), e))?;
    let until = Instant::now() + limits.patience;
    let slow = || NoAnswer::TooSlow(program.to_owned(), limits.patience.as_secs());
    let (printed, complained) =
        (collect(child.stdout.take(), limits.output + 1), collect(child.stderr.take(), COMPLAINTS));
    let answer = printed.recv_timeout(limits.patience).map_err(|_| slow()).and_then(|bytes| {
        if bytes.len() as u64 > limits.output {
            return Err(NoAnswer::TooMuch(program.to_owned(), limits.output));
        }
        Ok((bytes, ended(&mut child, until).ok_or_else(slow)?))
    });
    let (bytes, status) = answer.inspect_err(|_| {
        let _ended_already = child.kill();
        let _status_is_of_no_use = child.wait();
    })?;
    if !status.success() {
        let message = complained.recv_timeout(Duration::from_millis(100)).unwrap_or_default();
        let message = String::from_utf8_lossy(&message).trim().replace('\n', "; ");
        return Err(NoAnswer::Failed { program: program.to_owned(), status, message });
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Its status; `None` when it still runs at `until`.
fn ended(child: &mut Child, until: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => {}
            _ => return None,
        }
        // Its output has ended, so this is a matter of microseconds.
        thread::sleep(Duration::from_micros(200));
    }
}

/// Reads in a thread, which ends with the program.
fn collect(from: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could be read before an error is as much as there is to know.
        let _partial = from.map(|from| from.take(most).read_to_end(&mut bytes));
        let _nobody_waits_any_more = send.send(bytes);
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { patience: Duration::from_secs(20), output: 100 };

    #[test]
    fn output_of_a_program_that_succeeds_is_its_answer() {
        assert_eq!(output("echo", ["a b"], LIMITS).unwrap(), "a b\n");
    }

    #[test]
    fn a_program_that_fails_hangs_or_chatters_gives_none() {
        let sh = |script: &str, limits| output("sh", ["-c", script], limits).unwrap_err().to_string();
        assert_eq!(sh("echo why >&2; exit 3", LIMITS), "sh failed (exit status: 3): why");
        assert_eq!(sh("head -c 101 /dev/zero", LIMITS), "sh printed more than 100 bytes");
        assert_eq!(sh("exec sleep 60", Limits { patience: Duration::ZERO, ..LIMITS }), "sh did not answer in 0 s");
        let missing = output("no-such-program", [""], LIMITS).unwrap_err().to_string();
        assert!(missing.starts_with("no-such-program cannot be run: "), "{missing}");
    }
}

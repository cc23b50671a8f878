//! Lines of a known delay or rate, checked before anything is measured on them.

use std::time::Duration;

use super::measure::Skipped;
use crate::real::{Host, Mirror, far_apart, noise_file, run, scratch};

/// The round trip to a mirror in the next country.
pub const ROUND_TRIP: Duration = Duration::from_millis(30);

/// Makes a client and a mirror's host, [`ROUND_TRIP`] apart.
pub fn far() -> Result<[Host; 2], Skipped> {
    let hosts = far_apart(ROUND_TRIP)?;
    let [client, server] = &hosts;
    let took = connects(client, &served(server, 1));
    let (least, most) = (ROUND_TRIP.as_secs_f64(), ROUND_TRIP.as_secs_f64() * 1.1);
    if (least..=most).contains(&took) {
        return Ok(hosts);
    }
    Err(Skipped(format!("a line of {ROUND_TRIP:?} took {:.1} ms for a round trip", took * 1e3)))
}

/// Limits a host to so many bytes a second.
pub fn throttle(host: &Host, reader: &Host, rate: u64) -> Result<(), Skipped> {
    host.throttle(rate);
    let seconds = 0.5;
    let server = served(host, (rate as f64 * seconds) as u64);
    let got = curl(reader, &server, "%{speed_download}");
    // The headers of packets are not part of the file.
    let share = got / rate as f64;
    if (0.85..=1.1).contains(&share) {
        return Ok(());
    }
    Err(Skipped(format!("a line of {:.1} MB/s carried {:.1}", rate as f64 / 1e6, got / 1e6)))
}

/// Returns the median time, in seconds, that a connection took to open.
fn connects(client: &Host, server: &Served) -> f64 {
    let mut times: Vec<f64> = (0..5).map(|_| curl(client, server, "%{time_connect}")).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

struct Served {
    mirror: Mirror,
    _files: tempfile::TempDir,
}

fn served(host: &Host, size: u64) -> Served {
    let files = scratch("wire");
    noise_file(&files.path().join("file"), size);
    Served { mirror: Mirror::serve_on(host, files.path(), ""), _files: files }
}

fn curl(client: &Host, server: &Served, what: &str) -> f64 {
    let url = format!("{}/file", server.mirror.url());
    let said = run(client.command("curl").args(["-s", "-o", "/dev/null", "-w", what, &url])).ok().stdout;
    said.parse().expect("a number")
}

//! What a monitor reads: the figures of an overview as OpenMetrics text, which Prometheus understands.
//!
//! All of them come from one look, so there is nothing to count up: they are written as constants by the crate of the
//! Prometheus project. Times are Unix seconds, sizes bytes. Which packages are pending is not told, only how many.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::Overview;
use crate::base::name::shown;
use crate::host::doctor::Level;

/// The media type of [`metrics`] (OpenMetrics 1.0.0, "Protocol negotiation").
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the figures.
pub(crate) fn metrics(overview: Arc<Overview>) -> String {
    let mut registry = Registry::with_prefix("pkgswarm");
    registry.register_collector(Box::new(Figures(overview)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a String takes everything");
    text
}

#[derive(Debug)]
struct Figures(Arc<Overview>);

/// One figure of a family: the value of a label, where the family has one, and its own.
type Figure = (Option<String>, u64);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Overview { settings, found, examined, traffic, running, endpoint, .. } = &*self.0;
        let mut gauge = |name: &str, help: &str, unit: Option<Unit>, label: &'static str, figures: Vec<Figure>| {
            family(&mut encoder, MetricType::Gauge, name, help, unit.as_ref(), label, figures)
        };
        let one = |figure: u64| vec![(None, figure)];
        let only = |figure: Option<u64>| figure.map(|figure| (None, figure)).into_iter().collect();
        let labelled = |label: &str, figure: u64| (Some(shown(label).into_owned()), figure);
        gauge(
            "build_info",
            "The version, as a label of the constant 1",
            None,
            "version",
            vec![labelled(env!("CARGO_PKG_VERSION"), 1)],
        )?;

        let report = found.daemon.report();
        gauge("daemon_up", "1 if the daemon answers", None, "", one(report.is_some().into()))?;
        gauge("kubo_up", "1 if Kubo answers", None, "", one(found.kubo.told().is_ok().into()))?;
        let peers = report.map(|report| report.peers.len() as u64);
        gauge("neighbours", "Neighbours that are connected", None, "", only(peers))?;
        gauge(
            "shared_files",
            "Files that are offered to neighbours",
            None,
            "",
            only(report.map(|it| it.shared_files as u64)),
        )?;
        gauge("shared", "Their size", Some(Unit::Bytes), "", only(report.map(|it| it.shared_bytes)))?;

        let of_stores = |figure: &dyn Fn(&crate::store::contents::Use) -> u64| -> Vec<Figure> {
            found.stores.iter().map(|store| labelled(&store.dir.to_string_lossy(), figure(&store.held))).collect()
        };
        gauge("store_files", "Proven files in a store", None, "dir", of_stores(&|held| held.files))?;
        gauge("store_proven", "Their size", Some(Unit::Bytes), "dir", of_stores(&|held| held.bytes))?;
        gauge("store_partial", "Size of partial files", Some(Unit::Bytes), "dir", of_stores(&|held| held.partial))?;
        gauge("store_limit", "store.max", Some(Unit::Bytes), "dir", of_stores(&|_| settings.store_max))?;

        let updates = &found.updates;
        let checked = Some(updates.checked).filter(|checked| *checked > 0);
        let (ready, ready_bytes) = updates.ready();
        let all: u64 = updates.updates.iter().map(|update| update.size).sum();
        let counted = |figure: u64| only(checked.map(|_| figure));
        gauge("updates_pending", "Pending updates", None, "", counted(updates.updates.len() as u64))?;
        gauge("updates_ready", "Those that are here", None, "", counted(ready as u64))?;
        gauge("updates_pending_size", "Size of the pending updates", Some(Unit::Bytes), "", counted(all))?;
        gauge("updates_ready_size", "Size of those that are here", Some(Unit::Bytes), "", counted(ready_bytes))?;
        gauge("updates_checked_timestamp", "When prefetch last looked", Some(Unit::Seconds), "", only(checked))?;

        let of_indexes = |figure: &dyn Fn(&crate::index::manifest::Manifest) -> u64| -> Vec<Figure> {
            let held = found.indexes.iter().filter_map(|index| Some((&index.config.name, index.manifest()?)));
            held.map(|(name, manifest)| labelled(name, figure(manifest))).collect()
        };
        gauge(
            "index_created_timestamp",
            "When an index was made",
            Some(Unit::Seconds),
            "index",
            of_indexes(&|it| it.created),
        )?;
        gauge(
            "index_expires_timestamp",
            "When it expires",
            Some(Unit::Seconds),
            "index",
            of_indexes(&|it| it.expires),
        )?;

        let levels = [("note", Level::Note), ("warning", Level::Warning), ("error", Level::Error)];
        let findings = levels.map(|(word, level)| labelled(word, examined.count(level) as u64)).into();
        gauge("doctor_findings", "Findings of the doctor", None, "level", findings)?;
        gauge("doctor_timestamp", "When the doctor looked", Some(Unit::Seconds), "", one(examined.at))?;
        gauge("running", "Files on their way", None, "", one(running.len() as u64))?;

        let mut counter = |name: &str, help: &str, unit: Option<Unit>, label: &'static str, figures: Vec<Figure>| {
            family(&mut encoder, MetricType::Counter, name, help, unit.as_ref(), label, figures)
        };
        let received = traffic.received.iter().map(|(kind, bytes)| labelled(kind, *bytes)).collect();
        counter(
            "received",
            "Bytes from sources, by any pkgswarm of this machine",
            Some(Unit::Bytes),
            "source",
            received,
        )?;
        counter("delivered", "Bytes handed to pacman and users", Some(Unit::Bytes), "", one(traffic.delivered.0))?;
        counter("delivered_files", "Files handed to pacman and users", None, "", one(traffic.delivered.1))?;
        counter("endpoint_files", "Answers of this endpoint with a file", None, "", one(endpoint.files))?;
        counter("endpoint_sent", "Bytes of files that it sent", Some(Unit::Bytes), "", one(endpoint.sent))
    }
}

/// Writes a family, unless it has no figure.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    kind: MetricType,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    label: &'static str,
    figures: Vec<Figure>,
) -> Result<(), fmt::Error> {
    if figures.is_empty() {
        return Ok(());
    }
    let mut encoder = encoder.encode_descriptor(name, help, unit, kind)?;
    for (value, figure) in figures {
        match value {
            Some(value) => one(kind, figure, encoder.encode_family(&[(label, value)])?)?,
            None => return one(kind, figure, encoder),
        }
    }
    Ok(())
}

fn one(kind: MetricType, figure: u64, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match kind {
        MetricType::Counter => ConstCounter::new(figure).encode(encoder),
        _ => ConstGauge::new(figure).encode(encoder),
    }
}

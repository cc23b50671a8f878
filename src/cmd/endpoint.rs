//! What the endpoint shows of this machine: the overview of `host`, in the forms that `daemon` hands out.

use std::sync::Arc;

use crate::base::env::Env;
use crate::daemon::endpoint::{AnswerNow, EndpointNow, SeenViews, Viewer};
use crate::host::overview::{EndpointFigures, Lookout, RunningFile, documents, metrics, page};

/// Makes the function that looks, with the environment and the `--set` texts of this process.
pub(crate) fn viewer(env: &Env, flags: &[String]) -> Viewer {
    let lookout = Lookout::new(env, flags);
    Arc::new(move |now| {
        let overview = Arc::new(lookout.look(figures(now)));
        SeenViews {
            page: page::page(&overview).into(),
            policy: page::policy(),
            document: documents::whole(&overview).to_string().into(),
            metrics: (metrics::metrics(overview).into(), metrics::MEDIA_TYPE),
        }
    })
}

fn figures(EndpointNow { running, files, bytes }: EndpointNow) -> EndpointFigures {
    let of_one = |AnswerNow { name, total, sent, client }: AnswerNow| RunningFile {
        name,
        size: Some(total),
        arrived: sent,
        what: if client.is_loopback() { "to this machine".to_owned() } else { format!("to {client}") },
    };
    EndpointFigures { running: running.into_iter().map(of_one).collect(), files, sent: bytes }
}

//! Configuration files: values that pass the check of the layers have a type, and errors name the file and fit on
//! a terminal.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use pkgswarm::config::{Layers, Settings, value};
use pkgswarm::env::Env;
use pkgswarm::error::Error;
use pkgswarm_fuzz::parts;

static ENV: LazyLock<Env> = LazyLock::new(Env::from_process);

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [flag, text] = parts(data);
    let read = || {
        let mut layers = Layers::defaults();
        if let Ok(text) = std::str::from_utf8(text) {
            layers.add_text(Path::new("/etc/pkgswarm/config.toml"), text)?;
        }
        if let Some(flag) = std::str::from_utf8(flag).ok().filter(|flag| !flag.is_empty()) {
            layers.add_flag(flag)?;
        }
        Ok::<_, Error>(layers)
    };
    match read() {
        Ok(layers) => {
            let settings = Settings::from_layers(&ENV, &layers).expect("the layers were checked");
            let _ = (settings.gateway_url(), settings.gateway_urls().count());
            for url in settings.gateways.iter().chain([&settings.kubo_gateway]) {
                plain(url);
            }
            match settings.kubo_api.strip_prefix("unix:") {
                Some(socket) => assert!(Path::new(socket).is_absolute(), "{socket}"),
                None => plain(&settings.kubo_api),
            }
            for index in &settings.indexes {
                assert!(!index.name.is_empty() && !index.name.contains(['/', '.']));
                assert!(index.key.is_some() || index.minisign.is_some());
                index.url.iter().for_each(|url| plain(url));
            }
        }
        Err(error) => assert!(!error.subject.is_empty() && !error.message.is_empty()),
    }
});

/// Checks the promise of `config::value::url`: http, no credentials, query or fragment, and normalised.
fn plain(text: &str) {
    let url = url::Url::parse(text).expect("it was a URL");
    assert!(matches!(url.scheme(), "http" | "https"), "{text}");
    assert!(url.username().is_empty() && url.password().is_none(), "{text}");
    assert!(url.query().is_none() && url.fragment().is_none(), "{text}");
    assert_eq!(value::url(text).as_deref(), Some(text));
}

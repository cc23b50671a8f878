//! Configuration files: values that pass the check of the layers have a type, and errors name the file and fit on
//! a terminal.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use pkgswarm::config::url::{BaseUrl, RpcAddress};
use pkgswarm::config::{Layers, Settings};
use pkgswarm::base::env::Env;
use pkgswarm::base::error::Error;
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
            let settings = Settings::from_layers(&ENV, &layers);
            let _ = (settings.gateway_url(), settings.gateway_urls().count());
            for url in settings.gateways.iter().chain([&settings.kubo_gateway]) {
                plain(url);
            }
            match &settings.kubo_api {
                RpcAddress::Unix(socket) => assert!(socket.is_absolute(), "{socket:?}"),
                RpcAddress::Http(base) => plain(base),
            }
            assert_eq!(RpcAddress::parse(&settings.kubo_api.to_string()).as_ref(), Some(&settings.kubo_api));
            for index in &settings.indexes {
                assert!(!index.name.is_empty() && !index.name.contains(['/', '.']));
                assert!(index.key.is_some() || index.minisign.is_some());
                index.url.iter().for_each(plain);
            }
        }
        Err(error) => assert!(!error.subject.is_empty() && !error.message.is_empty()),
    }
});

/// Checks the promise of [`BaseUrl`]: http, no credentials, query or fragment, and read as it is written.
fn plain(base: &BaseUrl) {
    let (url, text) = (base.url(), base.to_string());
    assert!(matches!(url.scheme(), "http" | "https"), "{text}");
    assert!(url.username().is_empty() && url.password().is_none(), "{text}");
    assert!(url.query().is_none() && url.fragment().is_none(), "{text}");
    assert_eq!(BaseUrl::parse(&text).as_ref(), Some(base));
}

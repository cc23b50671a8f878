//! The clients that may ask, and the names under which this machine is asked.

use std::net::{IpAddr, SocketAddr};

use crate::base::error::Error;
use crate::config::EndpointSettings;
use crate::config::network::{Network, is_private};
use crate::config::written::Written;

/// The rules, from the settings.
#[derive(Clone, Debug)]
pub(super) struct AccessRules {
    /// Where to listen.
    pub(super) listen: Vec<SocketAddr>,
    /// The ports on which it does, once it does.
    pub(super) ports: Vec<u16>,
    /// Names in `Host` besides addresses and `localhost`.
    pub(super) names: Vec<String>,
    allow: Vec<Network>,
    page: Vec<Network>,
}

impl AccessRules {
    /// Reads the rules.
    ///
    /// # Errors
    /// A usage error for what is no address or network, and for an address of other machines' without a network that
    /// may ask.
    pub(super) fn of(settings: &EndpointSettings) -> Result<Self, Error> {
        let values = |name: &str, list: &[Written<Network>]| {
            Written::values(list).map_err(|why| Error::usage(name, why)).and_then(|list: Vec<Network>| {
                match list.iter().find(|network| matches!(network, Network::Range(_, Some(_)))) {
                    None => Ok(list),
                    Some(network) => {
                        Err(Error::usage(name, format!("expected a range without a router, found {network}")))
                    }
                }
            })
        };
        let allow = values("endpoint.allow", &settings.allow)?;
        let page = values("endpoint.page", &settings.page)?;
        let listen = Written::values(&settings.listen).map_err(|why| Error::usage("endpoint.listen", why))?;
        if listen.is_empty() {
            return Err(Error::usage("endpoint.listen", "names no address").hint("127.0.0.1:4011 is the default"));
        }
        if allow.is_empty()
            && let Some(open) = listen.iter().find(|address| !address.ip().is_loopback())
        {
            return Err(Error::usage(
                "endpoint.listen",
                format!("{open} is not on loopback, and endpoint.allow names no network"),
            )
            .hint("set endpoint.allow to the networks that may ask, like 192.168.1.0/24"));
        }
        Ok(Self { listen, ports: Vec::new(), names: settings.names.clone(), allow, page })
    }

    /// Adds the ports on which it listens.
    pub(super) fn at(self, ports: Vec<u16>) -> Self {
        Self { ports, ..self }
    }

    /// Returns true when this client may ask.
    pub(super) fn may_ask(&self, client: IpAddr) -> bool {
        client.to_canonical().is_loopback() || is_in(&self.allow, client)
    }

    /// Returns true when this client may look at the page.
    pub(super) fn may_look(&self, client: IpAddr) -> bool {
        client.to_canonical().is_loopback() || is_in(&self.page, client)
    }
}

fn is_in(networks: &[Network], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| match network {
        Network::Any => is_private(client),
        Network::Range(range, _) => range.contains(&client),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::env::Env;
    use crate::base::own_address;
    use crate::config::Settings;

    fn settings(set: &[&str]) -> Settings {
        let mut env = Env::from_process();
        env.vars = [("PKGSWARM_CONFIG_DIR".to_owned(), "/nonexistent".to_owned())].into();
        let set: Vec<String> = set.iter().map(|one| (*one).to_owned()).collect();
        Settings::read(&env, &set).unwrap()
    }

    fn rules(set: &[&str]) -> Result<AccessRules, Error> {
        AccessRules::of(&settings(set).endpoint)
    }

    #[test]
    fn a_server_line_with_any_address_of_this_machine_leads_to_an_endpoint_that_listens_everywhere() {
        let everywhere = settings(&["endpoint.listen=0.0.0.0:4011", "endpoint.allow=192.168.1.0/24"]).endpoint;
        let loopback = settings(&[]).endpoint;
        let url = |ip: IpAddr, port: u16| reqwest::Url::parse(&format!("http://{}/core", SocketAddr::new(ip, port)));
        for own in nix::ifaddrs::getifaddrs().unwrap().filter_map(|it| own_address::of(&it)) {
            assert!(everywhere.is_at(&url(own, 4011).unwrap(), &[]), "{own}");
            assert!(!everywhere.is_at(&url(own, 4012).unwrap(), &[]), "{own}");
            assert_eq!(loopback.is_at(&url(own, 4011).unwrap(), &[]), own.is_loopback(), "{own}");
        }
        assert!(!everywhere.is_at(&url("192.0.2.77".parse().unwrap(), 4011).unwrap(), &[]));
    }

    #[test]
    fn other_machines_ask_only_where_their_network_is_named() {
        let alone = rules(&[]).unwrap();
        let may = |rules: &AccessRules, client: &str| rules.may_ask(client.parse().unwrap());
        assert!(may(&alone, "127.0.0.1") && may(&alone, "::1") && may(&alone, "::ffff:127.0.0.1"));
        assert!(!may(&alone, "192.168.1.9") && !may(&alone, "::ffff:192.168.1.9"));
        let open = rules(&["endpoint.listen=0.0.0.0:4011 [::1]:4011", "endpoint.allow=192.168.1.0/24"]).unwrap();
        assert!(may(&open, "192.168.1.9") && may(&open, "::ffff:192.168.1.9") && !may(&open, "192.168.2.9"));
        assert!(!open.may_look("192.168.1.9".parse().unwrap()), "pending updates tell what is vulnerable");
        assert!(rules(&["endpoint.page=any"]).unwrap().may_look("10.0.0.1".parse().unwrap()));
        for (wrong, subject) in [
            ("endpoint.listen=0.0.0.0:4011", "endpoint.listen"),
            ("endpoint.listen=localhost", "endpoint.listen"),
            ("endpoint.listen=", "endpoint.listen"),
            ("endpoint.allow=8.8.8.0/24", "endpoint.allow"),
            ("endpoint.allow=10.0.0.0/8@aa:bb:cc:dd:ee:ff", "endpoint.allow"),
            ("endpoint.page=home", "endpoint.page"),
        ] {
            assert_eq!(rules(&[wrong]).unwrap_err().subject, subject, "{wrong}");
        }
    }
}

//! Addresses that may be called: what is accepted, and what a name may stand for. It calls nobody.
//!
//! `https` only, or `http` to this machine; no user or password; never a link-local address, where clouds keep the
//! credentials of the machine, neither written nor behind a name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// An address that may be called. Shown without its query, which may hold a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

/// Why a text is no address that may be called. The texts do not repeat it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It cannot be read.
    #[error("this is no URL: {0}")]
    Unreadable(String),
    /// Neither `https`, nor `http` to this machine.
    #[error("only https is called, and http on this machine")]
    Scheme,
    /// There is a user or a password in it.
    #[error("a URL with a user or a password in it is not called")]
    UserInfo,
    /// It is link-local.
    #[error("a link-local address is never called")]
    LinkLocal,
    /// It already has what eve adds.
    #[error("the key does not belong into the URL: it is added as `code` when the call is made")]
    Key,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`AddressError`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text).map_err(|error| AddressError::Unreadable(error.to_string()))?;
        let ip = url
            .host_str()
            .and_then(|host| host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok());
        let here = ip.map_or(url.host_str() == Some("localhost"), |ip| ip.is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if here => {}
            _ => return Err(AddressError::Scheme),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::UserInfo);
        }
        if ip.is_some_and(is_link_local) {
            return Err(AddressError::LinkLocal);
        }
        Ok(Self(url))
    }

    /// Scheme, host, port and path.
    pub fn as_shown(&self) -> String {
        let mut shown = self.0.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        shown.into()
    }

    /// Whether a query parameter of this name is there.
    pub(crate) fn has_parameter(&self, name: &str) -> bool {
        self.0.query_pairs().any(|(found, _)| found == name)
    }

    /// The URL, with one more query parameter where there is a value for it.
    pub(crate) fn to_url(&self, parameter: Option<(&str, &str)>) -> Url {
        let mut url = self.0.clone();
        if let Some((name, value)) = parameter {
            url.query_pairs_mut().append_pair(name, value);
        }
        url
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_shown())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Which addresses a plan may name.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Vec<Address>);

impl Allowed {
    /// None, until more are added.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The same and everything below this address: same scheme, host and port, and a path that begins with its path, cut at
    /// a `/`.
    #[must_use]
    pub fn with(mut self, below: Address) -> Self {
        self.0.push(below);
        self
    }

    /// Whether this address may be called.
    pub fn allows(&self, address: &Address) -> bool {
        self.0.iter().any(|below| {
            let (below, url) = (&below.0, &address.0);
            let same = below.scheme() == url.scheme()
                && below.host_str() == url.host_str()
                && below.port_or_known_default() == url.port_or_known_default();
            let rest = url.path().strip_prefix(below.path().trim_end_matches('/'));
            same && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// `169.254.0.0/16` (RFC 3927), `fe80::/10` (RFC 4291), the former also within IPv6, and the addresses that clouds use for the
/// same purpose in `fd00:ec2::/32`.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            ip.is_unicast_link_local()
                || (first, second) == (0xfd00, 0x0ec2)
                || ip.to_ipv4().is_some_and(|ip| ip.is_link_local())
        }
    }
}

/// Looks names up as the system does, and leaves out what may not be called.
#[derive(Debug)]
pub(crate) struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let usable = usable(found);
            if usable.is_empty() {
                return Err("the name stands for no address that may be called".into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

/// What may be called of what a name stands for.
fn usable(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    found.filter(|address| !is_link_local(address.ip())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_http_on_this_machine_are_called() {
        for good in ["https://f.example/api/x", "http://127.0.0.1:80/", "http://[::1]/", "http://localhost/a"]
        {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://f.example/", AddressError::Scheme),
            ("http://10.0.0.1/", AddressError::Scheme),
            ("ftp://f.example/", AddressError::Scheme),
            ("file:///etc/passwd", AddressError::Scheme),
            ("https://me@f.example/", AddressError::UserInfo),
            ("https://:pw@f.example/", AddressError::UserInfo),
            ("https://169.254.169.254/latest", AddressError::LinkLocal),
            ("https://2852039166/latest", AddressError::LinkLocal),
            ("https://[fe80::1]/", AddressError::LinkLocal),
            ("https://[::ffff:169.254.169.254]/", AddressError::LinkLocal),
            ("https://[fd00:ec2::254]/", AddressError::LinkLocal),
        ] {
            assert_eq!(Address::parse(bad), Err(why), "{bad}");
        }
        assert!(matches!(Address::parse("f.example"), Err(AddressError::Unreadable(_))));
    }

    #[test]
    fn an_address_is_shown_without_its_query() {
        let address = Address::parse("https://f.example/api?code=hunter2#x").unwrap();
        assert_eq!(address.to_string(), "https://f.example/api");
        assert_eq!(format!("{address:?}"), "Address(https://f.example/api)");
    }

    #[test]
    fn what_is_allowed_ends_at_a_slash_and_is_not_left_by_dots() {
        let at = |text: &str| Address::parse(text).unwrap();
        let allowed = Allowed::none().with(at("https://f.example/api"));
        for good in ["https://f.example/api", "https://f.example:443/api/x?y=1"] {
            assert!(allowed.allows(&at(good)), "{good}");
        }
        for bad in [
            "https://f.example/apis",
            "https://f.example/",
            "https://f.example/api/../admin",
            "https://f.example:444/api",
            "https://f.example.evil/api",
        ] {
            assert!(!allowed.allows(&at(bad)), "{bad}");
        }
        assert!(!Allowed::none().allows(&at("https://f.example/api")));
    }

    #[test]
    fn a_name_does_not_lead_to_a_link_local_address() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let found = ["169.254.169.254:0", "10.0.0.1:0", "[fe80::1]:0", "[::ffff:169.254.1.1]:0"].map(at);
        assert_eq!(usable(found.into_iter()), [at("10.0.0.1:0")]);
    }

    #[tokio::test]
    async fn a_name_for_this_machine_is_found() {
        let found: Vec<_> = Lookup.resolve("localhost".parse().unwrap()).await.unwrap().collect();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
    }
}

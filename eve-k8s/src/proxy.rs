//! Which proxy stands between here and the API server. Pure: the environment comes in as a function.
//!
//! The rules are those of Go's `net/http` (`golang.org/x/net/http/httpproxy`), because kubectl users set their
//! environment for it. The Rust client reads `HTTPS_PROXY` too, but holds `NO_PROXY` against the host of the proxy
//! instead of the host of the API server, so its own answer is never used.

use std::net::IpAddr;

use http::Uri;

/// The value of an environment variable, if it is set.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The proxy for requests to `target`; `None` when there is none to use.
///
/// # Errors
/// The text that is no URL.
pub(crate) fn choose(
    configured: Option<&str>,
    target: &Uri,
    environment: Environment<'_>,
) -> Result<Option<Uri>, String> {
    if let Some(configured) = configured.filter(|url| !url.is_empty()) {
        // What the kubeconfig says holds, whatever NO_PROXY says: so does kubectl.
        return parse(configured).map(Some);
    }
    let names = match target.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let first = |names: [&str; 2]| names.into_iter().filter_map(environment).find(|value| !value.is_empty());
    let Some(proxy) = first(names) else { return Ok(None) };
    let exceptions = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if bypassed(target, &exceptions) { Ok(None) } else { parse(&proxy).map(Some) }
}

fn parse(text: &str) -> Result<Uri, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    with_scheme.parse::<Uri>().ok().filter(|uri| uri.host().is_some()).ok_or_else(|| without_password(text))
}

/// A text that is no URL without what may be user and password.
pub(crate) fn without_password(url: &str) -> String {
    url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned()
}

/// The URL without user and password.
pub(crate) fn without_login(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let login = authority.rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", rest.get(login..).unwrap_or_default())
}

/// Whether requests to `target` go past the proxy: this machine always, else what `NO_PROXY` lists.
fn bypassed(target: &Uri, exceptions: &str) -> bool {
    let host = target.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let port = target.port_u16().unwrap_or(if target.scheme_str() == Some("http") { 80 } else { 443 });
    exceptions.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| match entry.as_str() {
        "" => false,
        "*" => true,
        entry => matches(entry, &host, address, port),
    })
}

fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        let parsed = network.parse().ok().zip(bits.parse().ok());
        return parsed
            .zip(address)
            .is_some_and(|((network, bits), address)| contains(network, bits, address));
    }
    if let Ok(excepted) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return address == Some(excepted);
    }
    let (name, only_port) = match entry.rsplit_once(':') {
        Some((name, number)) if number.parse::<u16>().is_ok() => (name, number.parse::<u16>().ok()),
        _ => (entry, None),
    };
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    if let Ok(excepted) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        return address == Some(excepted);
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    match name.strip_prefix('.') {
        Some(parent) => host.strip_suffix(parent).is_some_and(|left| left.ends_with('.')),
        None => host == name || host.strip_suffix(name).is_some_and(|left| left.ends_with('.')),
    }
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    let prefix = |value: u128, width: u32| bits <= width && value.checked_shr(width - bits).is_some();
    let cut = |value: u128, width: u32| value.checked_shr(width - bits).unwrap_or(0);
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let (network, address) = (u128::from(network.to_bits()), u128::from(address.to_bits()));
            prefix(network, 32) && cut(network, 32) == cut(address, 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let (network, address) = (network.to_bits(), address.to_bits());
            bits <= 128 && cut(network, 128) == cut(address, 128)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, variables: &[(&str, &str)], expected: Option<&str>) {
        let target: Uri = target.parse().unwrap();
        let environment =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let chosen = choose(None, &target, &environment).unwrap();
        assert_eq!(chosen, expected.map(|uri| uri.parse().unwrap()), "{target} {variables:?}");
    }

    #[test]
    fn the_proxy_of_the_scheme_is_used() {
        const PROXY: (&str, &str) = ("HTTPS_PROXY", "http://proxy:3128");
        let through = Some("http://proxy:3128");
        check("https://api.example.com:6443", &[], None);
        check("https://api.example.com:6443", &[PROXY], through);
        check("https://api.example.com:6443", &[("https_proxy", "proxy:3128")], through);
        check("https://api.example.com:6443", &[("HTTP_PROXY", "http://proxy:3128")], None);
        check("http://api.example.com", &[("HTTP_PROXY", "http://proxy:3128")], through);
        check("https://127.0.0.1:6443", &[PROXY], None);
        check("https://localhost:6443", &[PROXY], None);
        check("https://[::1]:6443", &[PROXY], None);
    }

    #[test]
    fn no_proxy_is_held_against_the_api_server() {
        for (target, exceptions, bypassed) in [
            ("https://api.example.com:6443", "example.com", true),
            ("https://api.example.com:6443", "localhost, .example.com,", true),
            ("https://api.example.com:6443", "*.example.com", true),
            ("https://example.com", ".example.com", false),
            ("https://badexample.com", "example.com", false),
            ("https://api.example.com:6443", "example.com:6443", true),
            ("https://api.example.com:6443", "example.com:443", false),
            ("https://api.example.com:6443", "*", true),
            ("https://api.example.com:6443", "proxy", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://10.1.2.3:6443", "10.1.2.3", true),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", true),
            ("https://10.1.2.3:6443", "10.1.2.3:443", false),
            ("https://11.1.2.3:6443", "10.0.0.0/8", false),
            ("https://11.1.2.3:6443", "0.0.0.0/0", true),
            ("https://11.1.2.3:6443", "10.0.0.0/99", false),
            ("https://[fd00::1]:6443", "fd00::/8", true),
            ("https://[fd00::1]:6443", "fd00::1", true),
            ("https://api.example.com", "10.0.0.0/8", false),
        ] {
            let through = if bypassed { None } else { Some("http://proxy:3128") };
            check(target, &[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", exceptions)], through);
        }
    }

    #[test]
    fn a_bad_proxy_is_named_without_its_password() {
        let environment = |_: &str| None;
        let target = "https://api.example.com".parse().unwrap();
        let refused = choose(Some("http://user:secret@bad host"), &target, &environment);
        assert_eq!(refused, Err("bad host".to_owned()));
    }
}

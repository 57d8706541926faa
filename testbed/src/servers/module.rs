//! The Go modules that pin the servers, compiled into this crate. Data only.

/// A Go module of ours whose only purpose is to pin one server and all it depends on.
pub(super) struct Module {
    pub(super) name: &'static str,
    pub(super) go_mod: &'static str,
    pub(super) go_sum: &'static str,
    pub(super) ldflags: &'static str,
    /// How long a build takes with cold caches; measured on two cores with a fast network.
    pub(super) usual: &'static str,
}

pub(super) const ETCD: Module = Module {
    name: "etcd",
    go_mod: include_str!("../../servers/etcd/go.mod"),
    go_sum: include_str!("../../servers/etcd/go.sum"),
    ldflags: "-s -w",
    usual: "1 minute",
};

pub(super) const KUBERNETES: Module = Module {
    name: "kubernetes",
    go_mod: include_str!("../../servers/kubernetes/go.mod"),
    go_sum: include_str!("../../servers/kubernetes/go.sum"),
    // Without these the server says v0.0.0-master, and clients that read its version go astray.
    ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 \
              -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36",
    usual: "4 minutes",
};

pub(super) const KWOK: Module = Module {
    name: "kwok",
    go_mod: include_str!("../../servers/kwok/go.mod"),
    go_sum: include_str!("../../servers/kwok/go.sum"),
    ldflags: "-s -w",
    usual: "2 minutes",
};

/// Vault is under the Business Source License 1.1: used as it is, for tests, and never shipped.
pub(super) const VAULT: Module = Module {
    name: "vault",
    go_mod: include_str!("../../servers/vault/go.mod"),
    go_sum: include_str!("../../servers/vault/go.sum"),
    ldflags: "-s -w",
    usual: "6 to 20 minutes",
};

impl Module {
    /// The `go` line of `go.mod`: the oldest toolchain that the module accepts.
    pub(super) fn go_wanted(&self) -> &str {
        self.go_mod.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or("1.26.0").trim()
    }
}

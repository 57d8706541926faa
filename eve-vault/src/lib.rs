//! Secrets from Vault (and `OpenBao`, which speaks the same) for one run: a [`SecretResolver`](eve_core::ports::SecretResolver).
//!
//! ```text
//!   Vault ──resolver(login)──▶ VaultResolver     one for each run
//!     │                          │  Session      one login, renewed at two thirds of its life
//!     │                          │  mounts       which engine a path belongs to, asked once
//!     │                          └─ secrets      one read for each path and version, kept for the run
//!     └── client: one pool of connections; TLS, timeouts, limits; no redirect is followed
//! ```
//!
//! A reference is `vault:PATH#KEY` or `vault:PATH#KEY@VERSION`; `PATH` begins with the mount and is what `vault kv get` takes,
//! without the `data/` of the API. Engines for keys and values of versions 1 and 2 are read, nothing else is.
//!
//! What goes wrong is one of the codes in [`codes`], each with its class. Nothing is tried again here but one thing: a token
//! that Vault no longer knows is replaced by one more login. Values and tokens stand in memory that is overwritten; texts
//! of errors and logs are made of references, paths, numbers and words of our own, never of what Vault answered.
//!
//! ```no_run
//! use eve_core::ports::SecretResolver as _;
//! use eve_vault::{Login, Vault, VaultConfig};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let vault = Vault::new(&VaultConfig::new("https://vault.example.com:8200").ca_file("/etc/vault/ca.crt"))?;
//! let run = vault.resolver(Login::kubernetes("eve"))?;
//! match run.resolve(&["vault:kv/shop/db#password".parse()?]).await {
//!     Ok(secrets) => println!("version {:?}", secrets.first().and_then(|secret| secret.version)),
//!     Err(bad) => bad.iter().for_each(|bad| println!("{bad}")),
//! }
//! run.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Where to start: [`Vault`], then `resolver.rs` for the order of things.

mod answer;
mod client;
pub mod codes;
mod config;
mod error;
mod kv;
mod login;
mod mounts;
mod place;
mod resolver;
mod session;

pub use client::Vault;
pub use config::{VaultConfig, VaultConfigError};
pub use login::Login;
pub use place::check_place;
pub use resolver::VaultResolver;

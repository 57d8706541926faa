//! Tests of the engine: rules as tables here, properties in `props`, with an oracle that shares no code with it.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the one event it looks for")]

mod bench;
mod looks;
mod oracle;
mod props;
mod rules;
mod undo;
mod world;

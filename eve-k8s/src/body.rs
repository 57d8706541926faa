//! Bodies of answers, read with a limit: whole, or as a stream of lines.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use kube::client::Body;

/// A body could not be read to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is larger than allowed.
    TooLarge,
    /// The connection was lost.
    Lost(kube::Error),
}

/// The whole body.
pub(crate) async fn collect(mut body: Body, bytes_max: u64) -> Result<Bytes, BodyError> {
    let mut collected = BytesMut::new();
    while let Some(data) = data(&mut body).await? {
        if (collected.len() as u64).saturating_add(data.len() as u64) > bytes_max {
            return Err(BodyError::TooLarge);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

/// The lines of a body that never needs to end.
pub(crate) struct Lines {
    body: Body,
    buffer: BytesMut,
    searched: usize,
    bytes_max: u64,
}

impl Lines {
    pub(crate) fn new(body: Body, bytes_max: u64) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, bytes_max }
    }

    /// The next whole line, without its end; `None` when the body ends. A last line without an end was cut off on its
    /// way, and is dropped. Cancel safe: what was read stays.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(offset) = unsearched.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(self.searched + offset).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            match data(&mut self.body).await? {
                None => return Ok(None),
                Some(data) => self.buffer.extend_from_slice(&data),
            }
            if self.buffer.len() as u64 > self.bytes_max {
                return Err(BodyError::TooLarge);
            }
        }
    }
}

/// The next data of a body, past its trailers.
async fn data(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(BodyError::Lost(error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

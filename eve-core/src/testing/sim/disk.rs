//! A disk that forgets: what is written is volatile until it is synced.

use super::choices::Choices;
use crate::ids::RunId;
use crate::journal::{self, Chain, Link};
use crate::run::Record;

/// The bytes before each record: how many bytes it has, then its link.
const FRAME_BYTES: usize = 4 + Link::BYTES;

/// Whether checksums are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Checked,
    Unchecked,
}

/// How much a power loss leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// Any number of bytes.
    Anything,
    /// All, nothing or half, so that the choices can be enumerated.
    AllNoneOrHalf,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: u64,
    end: usize,
}

/// The log of one run as bytes, each record as the journal writes it, with its link of the chain.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    run: RunId,
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// How many bytes survive everything.
    durable: usize,
    /// The place of the last record that was synced; written with it, as one.
    head: u64,
    chain: Chain,
}

impl Disk {
    /// An empty disk for this run.
    pub(super) fn new(run: RunId) -> Self {
        let chain = Chain::new(&run);
        Self { run, bytes: Vec::new(), places: Vec::new(), durable: 0, head: 0, chain }
    }

    /// Adds records; volatile until [`Disk::sync`].
    pub(super) fn append(&mut self, records: &[Record]) {
        for record in records {
            let bytes = journal::encode(record);
            let link = self.chain.push(&bytes);
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            self.bytes.extend_from_slice(&len.to_le_bytes());
            self.bytes.extend_from_slice(link.as_bytes());
            self.bytes.extend_from_slice(&bytes);
            self.places.push(Place { seq: record.seq.get(), end: self.bytes.len() });
        }
    }

    /// Makes everything durable that is there.
    pub(super) fn sync(&mut self) {
        self.durable = self.bytes.len();
        self.head = self.places.last().map_or(0, |place| place.seq);
    }

    /// A sync that failed: the pages are marked as clean and are gone, as file systems do it; the next sync says that
    /// all is well.
    pub(super) fn fail_sync(&mut self) {
        self.cut(self.durable);
    }

    /// Whether the record of this place survives everything.
    pub(super) fn is_durable(&self, seq: u64) -> bool {
        let durable = self.places.partition_point(|place| place.end <= self.durable);
        self.places.get(..durable).is_some_and(|places| places.iter().rev().any(|place| place.seq == seq))
    }

    /// The place of the last record that survives everything.
    pub(super) const fn head(&self) -> u64 {
        self.head
    }

    /// How many bytes could be lost.
    pub(super) const fn volatile_bytes(&self) -> usize {
        self.bytes.len() - self.durable
    }

    /// The machine stops: of what was not synced, some first part remains, and is durable from then on.
    pub(super) fn lose_power(&mut self, choices: &mut dyn Choices, remains: Remains) {
        let volatile = self.volatile_bytes();
        if volatile == 0 {
            return;
        }
        let kept = match (choices.below(3, "fault.remains"), remains) {
            (0, _) => volatile,
            (1, _) => 0,
            (_, Remains::AllNoneOrHalf) => volatile / 2,
            (_, Remains::Anything) => index(choices, volatile, "fault.remains-bytes"),
        };
        self.cut(self.durable + kept);
    }

    /// A bit of what was not synced is not what it was.
    pub(super) fn flip_volatile(&mut self, choices: &mut dyn Choices) {
        let volatile = self.volatile_bytes();
        if volatile > 0 {
            let at = self.durable + index(choices, volatile, "fault.flip-byte");
            self.flip(at, choices);
        }
    }

    /// A bit of what was durable is not what it was.
    pub(super) fn rot(&mut self, choices: &mut dyn Choices) {
        if self.durable > 0 {
            let at = index(choices, self.durable, "fault.rot-byte");
            self.flip(at, choices);
        }
    }

    fn flip(&mut self, at: usize, choices: &mut dyn Choices) {
        let bit = choices.below(8, "fault.bit");
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    fn cut(&mut self, len: usize) {
        self.bytes.truncate(len);
        self.places.retain(|place| place.end <= len);
        self.durable = self.durable.min(len);
    }

    /// Reads everything that can be relied on, and cuts off what was begun and never finished.
    ///
    /// # Errors
    /// What is wrong with records that had been durable.
    pub(super) fn open(&mut self, reading: Reading) -> Result<Vec<Record>, String> {
        let (mut records, mut chain, mut places) = (Vec::new(), Chain::new(&self.run), Vec::new());
        let (mut at, mut reason) = (0, "is missing".to_owned());
        while at < self.bytes.len() {
            match self.read(at, &mut chain, reading) {
                Ok((record, end)) => {
                    places.push(Place { seq: record.seq.get(), end });
                    records.push(record);
                    at = end;
                }
                Err(why) => {
                    reason = why;
                    break;
                }
            }
        }
        if chain.head().seq < self.head {
            return Err(format!("record {}: {reason}", chain.head().seq + 1));
        }
        self.bytes.truncate(at);
        (self.places, self.chain) = (places, chain);
        Ok(records)
    }

    fn read(&self, at: usize, chain: &mut Chain, reading: Reading) -> Result<(Record, usize), String> {
        let frame = self.bytes.get(at..at + FRAME_BYTES).ok_or("ends early")?;
        let (len, link) = frame.split_at(4);
        let len = u32::from_le_bytes(len.try_into().map_err(|_| "ends early")?) as usize;
        let begin = at + FRAME_BYTES;
        let bytes = self.bytes.get(begin..begin.saturating_add(len)).ok_or("ends early")?;
        let mut next = chain.clone();
        if next.push(bytes).as_bytes() != link && reading == Reading::Checked {
            return Err("its checksum is another".into());
        }
        let record = journal::decode(bytes).map_err(|error| error.to_string())?;
        *chain = next;
        Ok((record, begin + len))
    }
}

fn index(choices: &mut dyn Choices, below: usize, label: &'static str) -> usize {
    usize::try_from(choices.below(below as u64, label)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::choices::{Enumerated, Seeded};
    use super::*;
    use crate::testing::sample_events;

    fn disk(synced: usize, written: usize) -> Disk {
        let mut disk = Disk::new(RunId::new("run-1"));
        let records = sample_events();
        disk.append(&records[..synced]);
        disk.sync();
        disk.append(&records[synced..written]);
        disk
    }

    #[test]
    fn a_power_loss_keeps_what_was_synced_and_a_first_part_of_the_rest() {
        let mut kept = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut disk = disk(4, 9);
            disk.lose_power(&mut Seeded::new(seed), Remains::Anything);
            let records = disk.open(Reading::Checked).unwrap();
            assert_eq!(records, sample_events()[..records.len()]);
            kept.insert(records.len());
        }
        assert_eq!(kept, (4..=9).collect());
    }

    #[test]
    fn a_flipped_bit_is_loud_where_it_was_durable_and_cut_off_where_it_was_not() {
        for seed in 0..200 {
            let mut rotten = disk(6, 6);
            rotten.rot(&mut Seeded::new(seed));
            assert!(rotten.open(Reading::Checked).is_err());
            let mut torn = disk(4, 9);
            torn.flip_volatile(&mut Seeded::new(seed));
            let records = torn.open(Reading::Checked).unwrap();
            assert!((4..9).contains(&records.len()));
            assert_eq!(records, sample_events()[..records.len()]);
        }
    }

    #[test]
    fn what_a_failed_sync_lost_stays_lost() {
        let mut disk = disk(4, 9);
        assert!(disk.is_durable(4) && !disk.is_durable(5));
        disk.fail_sync();
        disk.sync();
        assert!(!disk.is_durable(5));
        assert_eq!(disk.open(Reading::Checked).unwrap().len(), 4);
        disk.lose_power(&mut Enumerated::new(), Remains::AllNoneOrHalf);
    }
}

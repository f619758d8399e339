//! The stream of one direction, behind its Hello: chunks of `u32` little-endian length, `u8` coding, payload.
//! `[chunk]`
//!
//! Chunks of coding `ZSTD` go on with one zstd frame, flushed at the end of each chunk: independent frames would
//! cost up to half of the ratio. A chunk of coding `ZSTD_ANEW` begins another frame, which is how a sender changes
//! how hard it tries. Chunks of coding `PLAIN` lie between, where data does not compress; they are part of no frame.

use structured_zstd::decoding::FrameDecoder;
use structured_zstd::encoding::{CompressionContext, CompressionLevel, CompressionParameters};

use super::{ProtocolError, limits};

/// Length and coding before each chunk, in bytes.
pub const CHUNK_HEADER_BYTES: usize = 5;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
const ZSTD_ANEW: u8 = 2;

/// Most bytes of messages that go into one chunk, so that it stays below [`limits::CHUNK_BYTES`] even where
/// compression makes it longer.
pub const CHUNK_INPUT_BYTES: usize = 192 * 1024;

/// How hard to compress. Each has a window of [`limits::WINDOW_BYTES`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// zstd's level 1.
    #[default]
    Quick,
    /// Level 3, with matches at long distances.
    Firm,
    /// Level 6, with matches at long distances.
    Thorough,
}

impl Effort {
    /// From the least to the most.
    pub const ALL: [Self; 3] = [Self::Quick, Self::Firm, Self::Thorough];

    /// Time for a byte, as a multiple of the least: of source code, measured (docs/performance.md).
    #[must_use]
    pub fn cost(self) -> f64 {
        match self {
            Self::Quick => 1.0,
            Self::Firm => 2.0,
            Self::Thorough => 4.0,
        }
    }

    /// Bytes that it leaves, as a share of those that the least leaves: of source code, measured (docs/performance.md).
    #[must_use]
    pub fn size(self) -> f64 {
        match self {
            Self::Quick => 1.0,
            Self::Firm => 0.77,
            Self::Thorough => 0.70,
        }
    }

    fn context(self) -> Result<CompressionContext, ProtocolError> {
        let (level, long_distance) = match self {
            Self::Quick => (1, false),
            Self::Firm => (3, true),
            Self::Thorough => (6, true),
        };
        let level = CompressionLevel::from_level(level);
        let parameters = CompressionParameters::builder(level)
            .window_log(limits::WINDOW_BYTES.ilog2())
            .enable_long_distance_matching(long_distance)
            .build()
            .map_err(|_| ProtocolError::Compression)?;
        let mut context = CompressionContext::new(level);
        match context.set_parameters(&parameters) {
            Ok(()) => Ok(context),
            Err(_) => Err(ProtocolError::Compression),
        }
    }
}

/// Makes chunks of one direction. The codec is made when a chunk is compressed: many a session has none.
#[derive(Default)]
pub struct Encoder(Option<(Effort, CompressionContext)>);

impl Encoder {
    /// An encoder that has made no chunk yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one chunk that carries `input` (at most [`CHUNK_INPUT_BYTES`]) to `out`, compressed or, without an
    /// effort, plain. Another effort than before begins another frame.
    ///
    /// # Errors
    /// [`ProtocolError::Compression`] if the codec fails or `input` is too long.
    pub fn chunk(
        &mut self,
        input: &[u8],
        effort: Option<Effort>,
        out: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let start = out.len();
        out.extend_from_slice(&[0; CHUNK_HEADER_BYTES]);
        let coding = match effort {
            Some(effort) => self.compress(effort, input, out)?,
            None => {
                out.extend_from_slice(input);
                PLAIN
            }
        };
        let len = out.len() - start - CHUNK_HEADER_BYTES;
        if len > limits::CHUNK_BYTES {
            return Err(ProtocolError::Compression);
        }
        let len = u32::try_from(len).map_err(|_| ProtocolError::Compression)?;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        out[start + 4] = coding;
        Ok(())
    }

    /// Gives the coding.
    fn compress(
        &mut self,
        effort: Effort,
        mut input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<u8, ProtocolError> {
        let is_first = self.0.is_none();
        let going_on = self.0.take().filter(|(now, _)| *now == effort);
        let coding = match is_first || going_on.is_some() {
            true => ZSTD,
            false => ZSTD_ANEW,
        };
        let context = match going_on {
            Some((_, context)) => context,
            None => effort.context()?,
        };
        let (_, zstd) = self.0.insert((effort, context));
        while !input.is_empty() {
            let taken = zstd
                .write(out, input)
                .map_err(|_| ProtocolError::Compression)?;
            input = input.get(taken.max(1)..).unwrap_or_default();
        }
        match zstd.flush(out) {
            Ok(()) => Ok(coding),
            Err(_) => Err(ProtocolError::Compression),
        }
    }
}

/// Turns chunks of one direction back into the bytes of messages. The codec is made for the first chunk that is
/// compressed.
#[derive(Default)]
pub struct Decoder(Option<Inflater>);

/// A zstd frame.
struct Inflater {
    zstd: FrameDecoder,
    /// Compressed bytes that are not decoded yet.
    pending: Vec<u8>,
    buffer: Vec<u8>,
}

impl Decoder {
    /// A decoder that holds at most [`limits::WINDOW_BYTES`] and a little.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks a chunk header: its payload's length and coding.
    ///
    /// # Errors
    /// [`ProtocolError`] for a length above the limit or an unknown coding.
    pub fn header(header: [u8; CHUNK_HEADER_BYTES]) -> Result<(usize, u8), ProtocolError> {
        let [a, b, c, d, coding] = header;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        if len > limits::CHUNK_BYTES {
            let limit = limits::CHUNK_BYTES as u64;
            return Err(ProtocolError::TooLong {
                what: "a chunk",
                len: len as u64,
                limit,
            });
        }
        if ![PLAIN, ZSTD, ZSTD_ANEW].contains(&coding) {
            return Err(ProtocolError::Malformed {
                what: "chunk coding",
            });
        }
        Ok((len, coding))
    }

    /// Decodes one chunk and hands its bytes to `sink`, in pieces of bounded size: a bomb is the reader's to
    /// stop, and it never needs more memory than the window.
    ///
    /// # Errors
    /// [`ProtocolError::Compression`], or what `sink` returns.
    pub fn chunk(
        &mut self,
        coding: u8,
        payload: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        match coding {
            PLAIN => return sink(payload),
            ZSTD_ANEW => self.0 = None,
            _ => {}
        }
        self.0
            .get_or_insert_with(Inflater::new)
            .chunk(payload, sink)
    }
}

impl Inflater {
    fn new() -> Self {
        let mut zstd = FrameDecoder::new();
        // In the documented range of the codec, so this cannot fail; were it to, its own default holds.
        if zstd.set_max_window_size(limits::WINDOW_BYTES).is_err() {
            zstd = FrameDecoder::new();
        }
        Self {
            zstd,
            pending: Vec::new(),
            buffer: vec![0; 128 * 1024],
        }
    }

    fn chunk(
        &mut self,
        payload: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.pending.extend_from_slice(payload);
        let mut taken = 0;
        loop {
            let source = self.pending.get(taken..).unwrap_or_default();
            let step = self.zstd.decode_from_to(source, &mut self.buffer);
            let (read, written) = step.map_err(|_| ProtocolError::Compression)?;
            taken += read;
            sink(self.buffer.get(..written).unwrap_or_default())?;
            if read == 0 && written == 0 {
                break;
            }
        }
        self.pending.drain(..taken.min(self.pending.len()));
        // A chunk is flushed, so what is left over is no part of a block.
        match self.pending.is_empty() {
            true => Ok(()),
            false => Err(ProtocolError::Compression),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(chunks: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let mut decoder = Decoder::new();
        let (mut out, mut at) = (vec![], 0);
        while at < chunks.len() {
            let header = chunks[at..at + CHUNK_HEADER_BYTES].try_into().unwrap();
            let (len, coding) = Decoder::header(header)?;
            at += CHUNK_HEADER_BYTES;
            decoder.chunk(coding, &chunks[at..at + len], &mut |b| {
                out.extend_from_slice(b);
                Ok(())
            })?;
            at += len;
        }
        Ok(out)
    }

    #[test]
    fn mixed_chunks_give_the_same_bytes_and_each_is_readable_when_it_arrives() {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new();
        for i in 0..200u32 {
            let input: Vec<u8> = (0..i * 37 % 5000).map(|x| (x / 7 % 251) as u8).collect();
            let mut chunk = vec![];
            let effort = (i % 3 != 0).then_some(Effort::ALL[i as usize / 80]);
            encoder.chunk(&input, effort, &mut chunk).unwrap();
            let (len, coding) = Decoder::header(chunk[..5].try_into().unwrap()).unwrap();
            assert_eq!(len, chunk.len() - 5);
            let mut out = vec![];
            decoder
                .chunk(coding, &chunk[5..], &mut |b| {
                    out.extend_from_slice(b);
                    Ok(())
                })
                .unwrap();
            assert_eq!(out, input, "chunk {i}");
        }
    }

    #[test]
    fn another_effort_begins_another_frame_and_the_same_goes_on() {
        use Effort::{Firm, Quick, Thorough};
        let mut encoder = Encoder::new();
        let mut coding = |effort| {
            let mut out = vec![];
            encoder.chunk(b"some text", effort, &mut out).unwrap();
            out[CHUNK_HEADER_BYTES - 1]
        };
        let efforts = [Quick, Quick, Thorough, Thorough, Firm].map(Some);
        let codings = efforts.map(&mut coding);
        assert_eq!(codings, [ZSTD, ZSTD, ZSTD_ANEW, ZSTD, ZSTD_ANEW]);
        assert_eq!([None, Some(Firm)].map(coding), [PLAIN, ZSTD]);
    }

    /// Words of a small language, each like many others.
    fn text(words: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut number = |limit: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % limit
        };
        let mut word = |_| {
            let stem = number(40) * number(40);
            format!(
                "{}{stem:x}_{} ",
                &"set_get_is_as_"[..usize::try_from(number(12)).unwrap()],
                number(7)
            )
        };
        (0..words).map(&mut word).collect::<String>().into_bytes()
    }

    #[test]
    fn more_effort_gives_fewer_bytes() {
        let noise: Vec<u8> = (0..60_000_u64)
            .flat_map(|n| crate::model::Digest::of(&n.to_le_bytes()).0)
            .collect();
        let bytes = |effort, content: &[u8]| {
            let (mut encoder, mut out) = (Encoder::new(), vec![]);
            for piece in content.chunks(CHUNK_INPUT_BYTES) {
                encoder.chunk(piece, Some(effort), &mut out).unwrap();
            }
            out.len()
        };
        let sizes = |content: &[u8]| Effort::ALL.map(|effort| bytes(effort, content));
        let (text, twice) = (sizes(&text(120_000)), sizes(&[&noise[..], &noise].concat()));
        assert!(
            text[2] * 100 < text[0] * 97 && text[2] < text[1] && text[1] <= text[0],
            "{text:?}"
        );
        // What comes again a long way back.
        assert!(
            twice[1..].iter().all(|b| *b < noise.len() * 11 / 10),
            "{twice:?}"
        );
    }

    #[test]
    fn one_stream_remembers_earlier_chunks() {
        let mut encoder = Encoder::new();
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_le_bytes()[7]
        })
        .take(100_000)
        .collect();
        let (mut first, mut second) = (vec![], vec![]);
        encoder
            .chunk(&noise, Some(Effort::Quick), &mut first)
            .unwrap();
        encoder
            .chunk(&noise, Some(Effort::Quick), &mut second)
            .unwrap();
        assert!(
            second.len() * 10 < first.len(),
            "{} then {}",
            first.len(),
            second.len()
        );
    }

    #[test]
    fn the_longest_incompressible_input_fits_a_chunk() {
        let mut encoder = Encoder::new();
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[4]
        })
        .take(CHUNK_INPUT_BYTES)
        .collect();
        let mut out = vec![];
        encoder
            .chunk(&noise, Some(Effort::Quick), &mut out)
            .unwrap();
        assert_eq!(decode_all(&out).unwrap(), noise);
    }

    #[test]
    fn damage_and_unknown_codings_are_errors() {
        assert!(decode_all(&[1, 0, 0, 0, 9, 0]).is_err());
        assert!(decode_all(&[4, 0, 0, 0, ZSTD, 1, 2, 3, 4]).is_err());
        assert!(Decoder::header([0xff, 0xff, 0xff, 0xff, PLAIN]).is_err());
    }
}

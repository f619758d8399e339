//! A second, deliberately small encoder of what `docs/protocol.md` describes, which can also say what the
//! program's own cannot: each message is a list of fields, and each field knows its evil values.

/// A message before it is bytes: the type of its frame, and its fields.
#[derive(Debug, Clone)]
pub struct Message {
    pub kind: u8,
    pub fields: Vec<Field>,
}

/// A field, in the form in which it is written.
#[derive(Debug, Clone)]
pub enum Field {
    /// A varint: numbers, counts, options, numbers of variants, zigzagged times.
    Number(u64),
    /// Its length and then bytes: texts, targets of links, parts of rules.
    Bytes(Vec<u8>),
    /// As [`Field::Bytes`], for what must be a path.
    Path(Vec<u8>),
    /// As it is: digests, keys, content.
    Raw(Vec<u8>),
}

pub const CONTROL: u8 = 1;
pub const WHOLE: u8 = 2;
pub const DATA: u8 = 3;
pub const SIGNATURE_DATA: u8 = 4;

/// 7 bits per byte, lowest first.
pub fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

pub fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

impl Field {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Number(number) => varint(*number),
            Self::Bytes(bytes) | Self::Path(bytes) => with_length(bytes),
            Self::Raw(bytes) => bytes.clone(),
        }
    }
}

/// The control message of this number.
pub fn control(number: u64, fields: impl IntoIterator<Item = Field>) -> Message {
    let fields = std::iter::once(Field::Number(number)).chain(fields);
    Message {
        kind: CONTROL,
        fields: fields.collect(),
    }
}

/// A message of another type than control.
pub fn data(kind: u8, bytes: &[u8]) -> Message {
    Message {
        kind,
        fields: vec![Field::Raw(bytes.to_vec())],
    }
}

/// A small file, whole.
pub fn whole(item: u32, content: &[u8]) -> Message {
    let fields = [item.to_le_bytes().to_vec(), content.to_vec()];
    Message {
        kind: WHOLE,
        fields: fields.map(Field::Raw).to_vec(),
    }
}

impl Message {
    pub fn payload(&self) -> Vec<u8> {
        self.fields.iter().flat_map(Field::encode).collect()
    }

    pub fn frame(&self) -> Vec<u8> {
        frame(self.kind, &self.payload())
    }
}

/// A frame of any type.
pub fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&len, &[kind][..], payload].concat()
}

/// Frames as plain chunks.
pub fn chunks(frames: &[u8]) -> Vec<u8> {
    let chunk = |part: &[u8]| frame(0, part);
    frames.chunks(128 * 1024).flat_map(chunk).collect()
}

/// A Hello: its length and its JSON.
pub fn hello(json: &str) -> Vec<u8> {
    let len = u32::try_from(json.len()).unwrap().to_le_bytes();
    [&len, json.as_bytes()].concat()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

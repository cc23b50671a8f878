//! Protocol buffers: a message that is read whole is written again byte for byte.
#![no_main]

use pkgswarm::base::protobuf::{FieldValue, Fields, push_varint, varint_len};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let mut again = Vec::new();
    let mut failed = false;
    for field in Fields::of(data) {
        assert!(!failed, "reading goes on after an error");
        let Ok(field) = field else {
            failed = true;
            continue;
        };
        let key = u64::from(field.number) << 3;
        let before = again.len();
        match field.value {
            FieldValue::Varint(value) => {
                push_varint(&mut again, key);
                push_varint(&mut again, value);
                assert_eq!(again.len() - before, varint_len(key) + varint_len(value));
            }
            FieldValue::Fixed64(value) => {
                push_varint(&mut again, key | 1);
                again.extend(value.to_le_bytes());
            }
            FieldValue::Bytes(value) => {
                push_varint(&mut again, key | 2);
                push_varint(&mut again, value.len() as u64);
                again.extend(value);
            }
            FieldValue::Fixed32(value) => {
                push_varint(&mut again, key | 5);
                again.extend(value.to_le_bytes());
            }
        }
    }
    assert!(data.starts_with(&again) && (failed || again == data));
});

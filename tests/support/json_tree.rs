//! Values inside of a JSON document, by their pointers.

use serde_json::{Value, json};

/// Sets one value, making the objects on the way to it.
pub fn put(config: &mut Value, pointer: &str, value: Value) {
    let mut place = config;
    for key in pointer.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        place = place.as_object_mut().expect("an object").entry(key).or_insert(Value::Null);
    }
    *place = value;
}

//! What does not need the library.

use hither_engine::work::Tensor;
use hither_types::model::Datatype;
use ort::value::TensorElementType;

use super::{IntoError, datatype_of, element_of, strings};

#[test]
fn every_type_of_the_protocol_has_one_of_the_library_and_back() {
    for datatype in Datatype::ALL {
        assert_eq!(datatype_of(element_of(datatype)), Some(datatype));
        if let Some(size) = datatype.size() {
            assert_eq!(element_of(datatype).byte_size(3), Some(size * 3), "{}", datatype.as_str());
        }
    }
    assert_eq!(datatype_of(TensorElementType::Complex64), None);
}

#[test]
fn strings_are_read_or_refused_with_the_reason() {
    let read = |data: &[u8]| {
        let tensor = Tensor { name: "s".into(), datatype: Datatype::Bytes, shape: vec![1], data: data.to_vec() };
        strings(&tensor).map(|strings| strings.join("|")).map_err(|error| match error {
            IntoError::Content(text) | IntoError::Library(text) => text,
        })
    };
    assert_eq!(read(&[1, 0, 0, 0, b'a', 0, 0, 0, 0, 2, 0, 0, 0, 0xc3, 0xa9]).as_deref(), Ok("a||é"));
    assert!(read(&[1, 0, 0, 0, 0xff]).unwrap_err().contains("not UTF-8"));
    assert!(read(&[1, 0, 0, 0, 0]).unwrap_err().contains("zero byte"));
    assert!(read(&[9, 0, 0, 0, b'a']).unwrap_err().contains("cut short"));
}

//! Which files are the model: what the tests of directories and artefacts leave open.

use super::*;

fn chosen(names: &[&str], wanted: Option<&str>) -> Result<Vec<usize>, String> {
    let candidates: Vec<Candidate<'_>> = names
        .iter()
        .map(|name| Candidate { name: name.trim_end_matches('!'), is_declared: name.ends_with('!') })
        .collect();
    choose(&candidates, wanted).map_err(|error| error.to_string())
}

#[test]
fn what_is_said_to_be_a_model_is_one_whatever_its_name() {
    assert_eq!(chosen(&["weights!", "readme"], None), Ok(vec![0]));
    assert_eq!(chosen(&["MODEL.GGUF"], None), Ok(vec![0]));
}

#[test]
fn parts_of_folders_are_told_apart_by_their_folder() {
    let names = [
        "q4/m-00002-of-00002.gguf",
        "q4/m-00001-of-00002.gguf",
        "q8/m-00001-of-00002.gguf",
        "q8/m-00002-of-00002.gguf",
    ];
    assert_eq!(chosen(&names, Some("q8/m-00002-of-00002.gguf")), Ok(vec![2, 3]));
    assert!(chosen(&names, None).unwrap_err().contains("several"));
    assert!(chosen(&names, Some("m-00002-of-00002.gguf")).unwrap_err().contains("several"));
    assert_eq!(chosen(&names[..2], None), Ok(vec![1, 0]));
}

#[test]
fn numbers_that_are_no_part_are_a_name_like_any_other() {
    for name in [
        "m-00003-of-00002.gguf",
        "m-00000-of-00002.gguf",
        "m-1-of-2.gguf",
        "-00001-of-00002.gguf",
        "m-00001-of-00001.gguf",
    ] {
        assert_eq!(chosen(&[name], None), Ok(vec![0]), "{name}");
    }
}

#[test]
fn a_long_list_is_cut_short() {
    let names: Vec<String> = (0..20).map(|number| format!("{number}.gguf")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(chosen(&names, None).unwrap_err().ends_with("and 8 more"));
}

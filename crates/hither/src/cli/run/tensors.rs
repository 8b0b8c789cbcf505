//! Tensors from the command line and from CSV, and tensors for people.

use std::path::Path;

use hither_api::admin::TensorDto;
use serde_json::{Value, json};

use crate::output::{Exit, Trouble, plain};

/// A table of an answer shows at most this many rows; `--json` gives all.
const ROWS_SHOWN_MAX: usize = 10;

fn usage(message: impl Into<String>) -> Trouble {
    Trouble::new("E0155", message).exit(Exit::Usage)
}

/// What an input could look like.
pub(super) fn example(inputs: &[TensorDto]) -> String {
    inputs.first().map_or_else(
        || "NAME=1,2,3".to_owned(),
        |input| {
            let count =
                input.shape.iter().filter_map(|size| usize::try_from(*size).ok()).product::<usize>().clamp(1, 40);
            let values: Vec<String> = (1..=count).map(|value| value.to_string()).collect();
            format!("{}={}", input.name, values.join(","))
        },
    )
}

/// The body of a request from `name=1,2,3` texts.
pub(super) fn from_text(texts: &[String], inputs: &[TensorDto]) -> Result<Value, Trouble> {
    let tensors: Result<Vec<Value>, Trouble> = texts
        .iter()
        .map(|text| {
            let (name, values) = text
                .split_once('=')
                .ok_or_else(|| usage(format!("expected NAME=1,2,3, found {text:?}")).help(example(inputs)))?;
            let spec = inputs.iter().find(|input| input.name == name).ok_or_else(|| {
                let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
                usage(format!("the model has no input {name:?}; it has {}", names.join(", "))).help(example(inputs))
            })?;
            let values: Result<Vec<Value>, Trouble> = values.split(',').map(|value| number(value, spec)).collect();
            tensor(spec, values?)
        })
        .collect();
    Ok(json!({"inputs": tensors?}))
}

/// The body of a request from a CSV file, and the labels if its last column is one.
pub(super) fn from_rows(file: &Path, inputs: &[TensorDto]) -> Result<(Value, Vec<i64>), Trouble> {
    let [spec] = inputs else {
        return Err(usage(format!("--rows is for models with one input, and this one has {}", inputs.len()))
            .help("hither run MODEL --input A=1,2 --input B=3,4"));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| usage(format!("cannot read {}: {error}", file.display())).exit(Exit::Failed))?;
    let table = Table::parse(&text).map_err(|error| usage(format!("{}: {error}", file.display())))?;
    let values: Result<Vec<Value>, Trouble> = table.values.iter().map(|value| number(value, spec)).collect();
    Ok((json!({"inputs": [tensor(spec, values?)?]}), table.labels))
}

/// Rows of text with their labels taken off.
pub(crate) struct Table {
    /// The columns, without the label.
    pub(crate) columns: Vec<String>,
    /// The values, row by row.
    pub(crate) values: Vec<String>,
    /// The labels; empty if the file has none.
    pub(crate) labels: Vec<i64>,
}

impl Table {
    /// Reads a header and rows; quotes are not needed by numbers and not understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let (_, header) = lines.next().ok_or("the file is empty")?;
        let mut columns: Vec<String> = header.split(',').map(|name| name.trim().to_owned()).collect();
        let labelled = columns.last().is_some_and(|name| name == "label");
        let width = columns.len();
        if labelled {
            columns.pop();
        }
        let mut table = Self { columns, values: Vec::new(), labels: Vec::new() };
        for (at, line) in lines {
            let cells: Vec<&str> = line.split(',').map(str::trim).collect();
            if cells.len() != width {
                return Err(format!("line {}: expected {width} values, found {}", at + 1, cells.len()));
            }
            table.values.extend(cells[..table.columns.len()].iter().map(|cell| (*cell).to_owned()));
            if labelled {
                let label = cells[width - 1];
                table.labels.push(
                    label.parse().map_err(|_| {
                        format!("line {}: expected a whole number as the label, found {label:?}", at + 1)
                    })?,
                );
            }
        }
        if table.values.is_empty() { Err("there are no rows below the header".to_owned()) } else { Ok(table) }
    }
}

fn number(text: &str, spec: &TensorDto) -> Result<Value, Trouble> {
    let text = text.trim();
    let wrong = || usage(format!("input {} takes {}, and {text:?} is none", spec.name, spec.datatype));
    match spec.datatype.as_str() {
        "BYTES" => Ok(json!(text)),
        "BOOL" => match text {
            "0" | "false" => Ok(json!(false)),
            "1" | "true" => Ok(json!(true)),
            _ => Err(wrong()),
        },
        kind if kind.starts_with("INT") => text.parse::<i64>().map(|n| json!(n)).map_err(|_| wrong()),
        kind if kind.starts_with("UINT") => text.parse::<u64>().map(|n| json!(n)).map_err(|_| wrong()),
        _ => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(|n| json!(n)).ok_or_else(wrong),
    }
}

/// Fits values into the shape of an input: its first free dimension takes what is there, others are 1.
fn tensor(spec: &TensorDto, values: Vec<Value>) -> Result<Value, Trouble> {
    let fixed: i64 = spec.shape.iter().filter(|size| **size > 0).product();
    let count = i64::try_from(values.len()).unwrap_or(i64::MAX);
    let mut left = Some(count / fixed.max(1));
    let shape: Vec<i64> =
        spec.shape.iter().map(|size| if *size > 0 { *size } else { left.take().unwrap_or(1) }).collect();
    if shape.iter().product::<i64>() != count {
        return Err(usage(format!(
            "input {} has shape {:?}, and {count} values do not fill it",
            spec.name, spec.shape
        )));
    }
    Ok(json!({"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": values}))
}

/// How many labels of an answer are those of the file; `None` if there is nothing to compare.
pub(super) fn count_right(outputs: &Value, labels: &[i64]) -> Option<usize> {
    let given = outputs.as_array()?.iter().find(|output| output["name"] == "label")?["data"].as_array()?;
    if labels.is_empty() || given.len() != labels.len() {
        return None;
    }
    Some(given.iter().zip(labels).filter(|(given, label)| given.as_i64() == Some(**label)).count())
}

/// The outputs for a person: one block each, its first rows.
pub(super) fn text(outputs: &Value) -> String {
    let mut text = String::new();
    for output in outputs.as_array().into_iter().flatten() {
        let shape: Vec<usize> = output["shape"]
            .as_array()
            .map(|sizes| sizes.iter().filter_map(|size| size.as_u64()?.try_into().ok()).collect())
            .unwrap_or_default();
        let data = output["data"].as_array().map_or(&[][..], Vec::as_slice);
        let width = shape.iter().skip(1).product::<usize>().max(1);
        text.push_str(&format!(
            "{}  {}{shape:?}\n",
            plain(output["name"].as_str().unwrap_or("?")),
            plain(output["datatype"].as_str().unwrap_or("?"))
        ));
        for row in data.chunks(width).take(ROWS_SHOWN_MAX) {
            let cells: Vec<String> = row.iter().map(|value| plain(&value.to_string())).collect();
            text.push_str(&format!("  {}\n", cells.join("  ")));
        }
        let rows = data.len().div_ceil(width);
        if rows > ROWS_SHOWN_MAX {
            text.push_str(&format!("  … {} more rows: --json shows all\n", rows - ROWS_SHOWN_MAX));
        }
    }
    text
}

#[cfg(test)]
mod tests;

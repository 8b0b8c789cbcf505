//! Rego, by regorus: as its engine interprets it, and compiled for its virtual machine.

use hither_types::law::{Policy, Rule};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::{Engine as Regorus, Rc, Value};
use serde_json::{Map, json};

use super::Engine;
use super::words::{Lists, Tongue, conditions, level, many, texts};
use crate::draw::Act;

const ENTRY: &str = "data.law.allow";

struct Rego;

impl Tongue for Rego {
    fn is(&self, fact: &str, word: &str) -> String {
        format!("input.{fact} == \"{word}\"")
    }

    fn is_in(&self, fact: &str, list: usize) -> String {
        format!("data.lists.l{list}[input.{fact}]")
    }

    fn is_not_in(&self, fact: &str, list: usize) -> String {
        format!("not data.lists.l{list}[input.{fact}]")
    }

    fn all_in(&self, facts: &str, list: usize) -> String {
        format!("count([one{list} | some one{list} in input.{facts}; not data.lists.l{list}[one{list}]]) == 0")
    }

    fn any_in(&self, facts: &str, list: usize) -> String {
        format!("some one{list} in input.{facts}\n  data.lists.l{list}[one{list}]")
    }

    fn none_in(&self, facts: &str, list: usize) -> String {
        format!("count([one{list} | some one{list} in input.{facts}; data.lists.l{list}[one{list}]]) == 0")
    }

    fn model(&self, name: &str) -> String {
        format!("startswith(sprintf(\"%s:\", [input.model]), \"{name}:\")")
    }

    fn assured(&self, least: i64) -> String {
        format!("input.assurance >= {least}")
    }

    fn one_operator(&self) -> String {
        "input.operator == input.origin_operator".to_owned()
    }
}

/// The policy in Rego, and the lists that it names.
fn written(policy: &Policy) -> (String, String) {
    let mut lists = Lists::default();
    let mut text = "package law\n\ndefault allow := false\n\nallow if {\n  not forbidden\n  permitted\n}\n".to_owned();
    let mut rule = |word: &str, rule: &Rule, forbids: bool| {
        let all = conditions(rule, forbids, &mut lists, &Rego);
        let body = all.join("\n  ");
        text.push_str(&format!("\n# {}\n{word} if {{\n  {body}\n}}\n", rule.id));
    };
    policy.forbids.iter().for_each(|forbid| rule("forbidden", forbid, true));
    policy.permits.iter().for_each(|permit| rule("permitted", permit, false));
    let each = |(number, list): (usize, &Vec<String>)| {
        let members: Map<_, _> = list.iter().map(|word| (word.clone(), json!(true))).collect();
        (format!("l{number}"), json!(members))
    };
    let data: Map<_, _> = lists.0.iter().enumerate().map(each).collect();
    (text, json!({ "lists": data }).to_string())
}

fn input(act: &Act) -> Result<Value, String> {
    let mut facts: Map<String, serde_json::Value> = Map::new();
    facts.extend(texts(act).into_iter().map(|(key, text)| (key.to_owned(), json!(text))));
    facts.extend(many(act).into_iter().map(|(key, texts)| (key.to_owned(), json!(texts))));
    facts.insert("assurance".to_owned(), json!(level(act.target.assurance)));
    Value::from_json_str(&json!(facts).to_string()).map_err(|error| error.to_string())
}

fn engine(policy: &Policy) -> Result<(Regorus, Value), String> {
    let (text, data) = written(policy);
    let trouble = |error: &dyn std::fmt::Display| format!("regorus: {error}\n{text}");
    let data = Value::from_json_str(&data).map_err(|error| trouble(&error))?;
    let mut engine = Regorus::new();
    engine.add_policy("law.rego".to_owned(), text.clone()).map_err(|error| trouble(&error))?;
    engine.add_data(data.clone()).map_err(|error| trouble(&error))?;
    Ok((engine, data))
}

/// The engine.
pub(super) struct Interpreted {
    engine: Regorus,
    asked: Value,
}

impl Interpreted {
    pub(super) fn new(policy: &Policy) -> Result<Self, String> {
        Ok(Self { engine: engine(policy)?.0, asked: Value::Undefined })
    }
}

impl Engine for Interpreted {
    fn name(&self) -> String {
        "regorus, engine".to_owned()
    }

    fn take(&mut self, act: &Act) -> Result<(), String> {
        self.asked = input(act)?;
        Ok(())
    }

    fn permits(&mut self) -> Result<bool, String> {
        // Given anew each time, for an engine keeps what it found for an input.
        self.engine.set_input(self.asked.clone());
        let value = self.engine.eval_rule(ENTRY.to_owned()).map_err(|error| error.to_string())?;
        value.as_bool().copied().map_err(|error| error.to_string())
    }
}

/// The virtual machine.
pub(super) struct Compiled {
    vm: RegoVM,
    asked: Value,
}

impl Compiled {
    pub(super) fn new(policy: &Policy) -> Result<Self, String> {
        let (mut engine, data) = engine(policy)?;
        let entry: Rc<str> = ENTRY.into();
        let compiled = engine.compile_with_entrypoint(&entry).map_err(|error| error.to_string())?;
        let program = Compiler::compile_from_policy(&compiled, &[ENTRY]).map_err(|error| error.to_string())?;
        let mut vm = RegoVM::new();
        vm.load_program(program);
        vm.set_data(data).map_err(|error| error.to_string())?;
        Ok(Self { vm, asked: Value::Undefined })
    }
}

impl Engine for Compiled {
    fn name(&self) -> String {
        "regorus, compiled".to_owned()
    }

    fn take(&mut self, act: &Act) -> Result<(), String> {
        self.asked = input(act)?;
        Ok(())
    }

    fn permits(&mut self) -> Result<bool, String> {
        self.vm.set_input(self.asked.clone());
        let value = self.vm.execute().map_err(|error| error.to_string())?;
        value.as_bool().copied().map_err(|error| error.to_string())
    }
}

//! CEL, by the crate `cel`: a program for each rule, run until one decides. CEL has no policies, only expressions.

use std::collections::HashMap;

use cel::{Context, Program, Value};
use hither_types::law::{Policy, Rule};

use super::Engine;
use super::words::{Lists, Tongue, conditions, level, many, texts};
use crate::draw::Act;

struct Cel;

impl Tongue for Cel {
    fn is(&self, fact: &str, word: &str) -> String {
        format!("{fact} == '{word}'")
    }

    fn is_in(&self, fact: &str, list: usize) -> String {
        format!("{fact} in l{list}")
    }

    fn is_not_in(&self, fact: &str, list: usize) -> String {
        format!("!({fact} in l{list})")
    }

    fn all_in(&self, facts: &str, list: usize) -> String {
        format!("{facts}.all(one, one in l{list})")
    }

    fn any_in(&self, facts: &str, list: usize) -> String {
        format!("{facts}.exists(one, one in l{list})")
    }

    fn none_in(&self, facts: &str, list: usize) -> String {
        format!("!{facts}.exists(one, one in l{list})")
    }

    fn model(&self, name: &str) -> String {
        format!("(model == '{name}' || model.startsWith('{name}:'))")
    }

    fn assured(&self, least: i64) -> String {
        format!("assurance >= {least}")
    }

    fn one_operator(&self) -> String {
        "operator == origin_operator".to_owned()
    }
}

/// Forbids and permits.
pub(super) struct Programs {
    forbids: Vec<Program>,
    permits: Vec<Program>,
    lists: Lists,
    context: Context<'static, 'static>,
}

impl Programs {
    pub(super) fn new(policy: &Policy) -> Result<Self, String> {
        let mut lists = Lists::default();
        let mut program = |rule: &Rule, forbids: bool| {
            let all = conditions(rule, forbids, &mut lists, &Cel);
            let text = all.join(" && ");
            Program::compile(&text).map_err(|error| format!("cel: {error}: {text}"))
        };
        let forbids = policy.forbids.iter().map(|rule| program(rule, true)).collect::<Result<_, _>>()?;
        let permits = policy.permits.iter().map(|rule| program(rule, false)).collect::<Result<_, _>>()?;
        Ok(Self { forbids, permits, lists, context: Context::default() })
    }
}

fn holds(program: &Program, context: &Context<'static, 'static>) -> Result<bool, String> {
    match program.execute(context) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(format!("cel: {other:?} is not yes or no")),
        Err(error) => Err(format!("cel: {error}")),
    }
}

impl Engine for Programs {
    fn name(&self) -> String {
        "cel".to_owned()
    }

    fn take(&mut self, act: &Act) -> Result<(), String> {
        let mut context = Context::default();
        for (number, list) in self.lists.0.iter().enumerate() {
            let members: HashMap<String, bool> = list.iter().map(|word| (word.clone(), true)).collect();
            context.add_variable_from_value(format!("l{number}"), members);
        }
        for (key, text) in texts(act) {
            context.add_variable_from_value(key, text);
        }
        for (key, texts) in many(act) {
            context.add_variable_from_value(key, texts);
        }
        context.add_variable_from_value("assurance", level(act.target.assurance));
        self.context = context;
        Ok(())
    }

    fn permits(&mut self) -> Result<bool, String> {
        for forbid in &self.forbids {
            if holds(forbid, &self.context)? {
                return Ok(false);
            }
        }
        for permit in &self.permits {
            if holds(permit, &self.context)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

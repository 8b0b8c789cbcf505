//! Templates as they come with models, and as somebody hostile might write them.

use hither_engine::work::{ChatMessage, Tool, ToolCall};

use super::Template;

fn render(source: &str, turns: &[(&str, &str)]) -> Result<String, String> {
    let message = |(role, content): &(&str, &str)| ChatMessage::new(*role, *content);
    let messages: Vec<ChatMessage> = turns.iter().map(message).collect();
    template(source).render(&messages, &[])
}

fn template(source: &str) -> Template {
    Template { source: source.to_owned(), bos: "<s>".to_owned(), eos: "</s>".to_owned() }
}

fn weather() -> Tool {
    let parameters = r#"{"type":"object","properties":{"city":{"type":"string"}}}"#.to_owned();
    Tool { name: "weather".into(), description: "it's <now>".into(), parameters }
}

/// A question, a call, its answer.
fn conversation() -> Vec<ChatMessage> {
    let call = ToolCall { id: "c1".into(), name: "weather".into(), arguments: r#"{"city":"Köln"}"#.into() };
    vec![
        ChatMessage::new("user", "and Köln?"),
        ChatMessage { calls: vec![call], ..ChatMessage::new("assistant", "") },
        ChatMessage { answers: Some("c1".into()), ..ChatMessage::new("tool", "rain") },
    ]
}

#[test]
fn a_template_sees_the_conversation_and_the_special_tokens() {
    let source = "{{ bos_token }}{% for message in messages %}\n<{{ message['role'] }}>{{ message.content.strip() }}\
                  {{ eos_token }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
    let rendered = render(source, &[("user", " hi "), ("assistant", "yes"), ("user", "so")]).unwrap();
    assert_eq!(rendered, "<s><user>hi</s><assistant>yes</s><user>so</s><assistant>");
}

#[test]
fn a_template_may_refuse() {
    let source = "{% if messages[0].role != 'user' %}{{ raise_exception('the user speaks first') }}{% endif %}";
    let refused = render(source, &[("assistant", "hi")]).unwrap_err();
    assert_eq!(refused, "the model's chat template refuses the conversation: the user speaks first");
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let source = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}";
    assert!(render(source, &[("user", "hi")]).unwrap_err().contains("fuel"));
    assert!(render("{% include '/etc/passwd' %}", &[("user", "hi")]).is_err());
}

#[test]
fn a_template_that_knows_tools_gets_them_as_it_was_trained() {
    let source = "{% for t in tools %}{{ t | tojson }}\n{% endfor %}{% for m in messages %}<{{ m.role }}>{{ m.content }}\
                  {% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}\
                  {% if m.tool_call_id %}={{ m.tool_call_id }}{% endif %}{% endfor %}";
    let rendered = template(source).render(&conversation(), &[&weather()]).unwrap();
    let told = r#"{"type": "function", "function": {"name": "weather", "description": "it's <now>", "parameters": "#;
    assert!(
        rendered.contains(r#""description": "it's <now>""#) && rendered.contains(r#""name": "weather""#),
        "{rendered}"
    );
    assert!(rendered.len() > told.len());
    assert!(rendered.ends_with(r#"<user>and Köln?<assistant>weather{"city": "Köln"}<tool>rain=c1"#), "{rendered}");
    let without = template("{% if tools %}tools{% else %}none{% endif %}").render(&conversation(), &[]).unwrap();
    assert_eq!(without, "none");
}

#[test]
fn a_template_that_knows_none_is_told_of_them_in_text() {
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let rendered = template(source).render(&conversation(), &[&weather()]).unwrap();
    assert!(rendered.starts_with("<system># Tools") && rendered.contains("\"weather\""), "{rendered}");
    let end = "<user>and Köln?<assistant><tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Köln\"}}\n\
               </tool_call><user><tool_response>\nrain\n</tool_response>";
    assert!(rendered.ends_with(end), "{rendered}");
}

#[test]
fn a_template_that_makes_too_much_is_stopped() {
    let source = "{% set x = 'xxxxxxxxxxxxxxxx' * 4096 %}{% for a in range(9999) %}{{ x }}{% endfor %}";
    assert!(render(source, &[("user", "hi")]).unwrap_err().contains("too much"));
    assert!(render(&"x".repeat(2 << 20), &[("user", "hi")]).unwrap_err().contains("too long"));
    let deep = "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}";
    assert!(render(deep, &[("user", "hi")]).is_err());
}

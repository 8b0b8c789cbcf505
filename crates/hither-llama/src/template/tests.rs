//! Templates as they come with models, and as somebody hostile might write them.

use hither_engine::work::ChatMessage;

use super::Template;

fn render(source: &str, turns: &[(&str, &str)]) -> Result<String, String> {
    let message = |(role, content): &(&str, &str)| ChatMessage { role: (*role).into(), content: (*content).into() };
    let messages: Vec<ChatMessage> = turns.iter().map(message).collect();
    Template { source: source.to_owned(), bos: "<s>".to_owned(), eos: "</s>".to_owned() }.render(&messages)
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

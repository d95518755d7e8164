use super::*;
use crate::domain::challenge::Purpose;

fn check(subject: &str, text: &str, html: &str) -> Result<Sample, Vec<String>> {
    let key = TemplateKey::new(Purpose::Login, "", "en");
    let parts = TemplateParts {
        subject: subject.into(),
        text: text.into(),
        html: html.into(),
    };
    check_template(key, &parts, false, "template.")
        .map_err(|faults| faults.as_slice().iter().map(ToString::to_string).collect())
}

#[test]
fn a_good_one_is_shown_with_samples() {
    let sample = check("Hi {{ user }}\n", "{{ otp }} <&>", "<b>{{ otp }}</b>{{ \"<\" }}").unwrap();
    assert_eq!(sample.subject, "Hi Ann Example");
    assert_eq!(sample.text, "274916 <&>");
    assert_eq!(sample.html, "<b>274916</b>&lt;");
    let html = "{% extends \"fr/base.html\" %}{% block intro %}Voici{% endblock %}";
    let sample = check("x", "{{ otp }}", html).unwrap();
    assert!(sample.html.contains("Voici") && sample.html.contains("lang=\"fr\""));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (subject, text, html, field, words) in [
        (
            "x",
            "a\n {{ nobody }}{{ otp }}",
            "",
            "template.text: line 2, column 5",
            "no such variable",
        ),
        (
            "x",
            "{{ otp }}",
            "<b>",
            "template.html: line 1, column 1",
            "must show {{ otp }}",
        ),
        (
            "x",
            "{% if number > 1 %}{{ otp }}{% endif %}",
            "",
            "template.text",
            "must show {{ otp }}",
        ),
        ("x", "274916", "", "template.text", "must show {{ otp }}"),
        ("x", "{{ otp|upper }}", "", "template.text", "must show {{ otp }}"),
        ("x", "{{ otp }}\n{% if user %}", "", "template.text", ""),
        ("x", "{{ otp }}\n{{ user", "", "template.text", ""),
        (
            "{{ otp }}",
            "{{ otp }}",
            "",
            "template.subject",
            "code_in_subject",
        ),
        (
            "a\nBcc: b",
            "{{ otp }}",
            "",
            "template.subject",
            "control character",
        ),
        (
            "{{ \"a\\nBcc: b\" }}",
            "{{ otp }}",
            "",
            "template.subject",
            "control character",
        ),
        ("", "", "", "template.subject", "is required"),
        ("x", "{{ otp }}", "{% extends \"no.html\" %}", "template.html", ""),
        (
            "x",
            "{{ otp }}{{ user|safe }}",
            "",
            "template.text: line 1, column 18",
            "no such filter",
        ),
    ] {
        let faults = check(subject, text, html).unwrap_err();
        let told = faults
            .iter()
            .any(|fault| fault.starts_with(field) && fault.contains(words));
        assert!(told, "{subject:?} {text:?} {html:?}: {faults:?}");
    }
}

#[test]
fn no_template_is_a_bomb() {
    let deep = format!("{{{{ {}otp{} }}}}", "(".repeat(5_000 / 2), ")".repeat(5_000 / 2));
    let conditions = format!(
        "{}{{{{ otp }}}}{}",
        "{% if otp %}".repeat(300),
        "{% endif %}".repeat(300)
    );
    for bomb in [
        deep,
        conditions,
        "{{ otp }}{{ \"x\" * 1000000000 }}".to_owned(),
        "{% block a %}{{ self.a() }}{% endblock %}".to_owned(),
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}".to_owned(),
        "x".repeat(MOST_TEXT + 1),
    ] {
        assert!(check("x", &bomb, "").is_err());
    }
}

#[test]
fn what_was_put_into_the_table_by_hand_does_not_run_either() {
    let key = TemplateKey::new(Purpose::Login, "", "en");
    for text in [
        "{% for a in range(9) %}{{ otp }}{% endfor %}",
        "{{ otp }}{{ user|safe }}",
    ] {
        let parts = TemplateParts {
            subject: "x".into(),
            text: text.into(),
            html: String::new(),
        };
        assert!(Own::compile(key.clone(), &parts).is_err(), "{text}");
    }
}

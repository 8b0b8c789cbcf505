//! The dashboard needs nothing from outside.

use crate::tests::lab::Lab;

const FILES: [(&str, &str); 3] = [
    ("/", "text/html; charset=utf-8"),
    ("/app.js", "text/javascript; charset=utf-8"),
    ("/style.css", "text/css; charset=utf-8"),
];

#[tokio::test]
async fn its_files_are_served_under_a_strict_policy_and_name_no_other_host() {
    let lab = Lab::new(|_| unreachable!("nothing here submits"));
    for (path, content_type) in FILES {
        let came = lab.send(&format!("GET {path}\naccept: text/html,*/*;q=0.8"), "").await;
        assert_eq!((came.status, came.header("content-type")), (200, content_type));
        assert!(came.header("content-security-policy").starts_with("default-src 'self';"));
        assert_eq!(came.header("x-content-type-options"), "nosniff");
        let text = came.text();
        assert!(text.len() > 500, "{path} is empty");
        for foreign in ["http://", "https://", "//cdn", "eval(", "innerHTML", "onclick=", "<style", "style=\""] {
            let outside = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside.contains(foreign), "{path} has {foreign}");
        }
    }
}

#[tokio::test]
async fn who_takes_no_html_is_told_what_clients_of_ollama_look_for() {
    let lab = Lab::new(|_| unreachable!("nothing here submits"));
    for headers in ["", "\naccept: */*", "\naccept: application/json"] {
        let came = lab.send(&format!("GET /{headers}"), "").await;
        assert_eq!((came.status, came.text().as_str()), (200, "Ollama is running"), "{headers}");
    }
    let head = lab.send("HEAD /", "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
}

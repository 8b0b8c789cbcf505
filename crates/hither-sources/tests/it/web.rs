//! Files of web servers.

use hither_sources::{FetchError, Settings, Whose};
use hither_types::unit::ByteCount;

use crate::rig::{Rig, bytes, draw, sha256};
use crate::server::{How, Reply, Server};

#[tokio::test]
async fn a_file_comes_whole_with_its_checksum_and_says_how_far_it_is() {
    let content = bytes(300_000, 1);
    let served = content.clone();
    let server = Server::start(move |asked| Reply::file(asked, &served, "\"a\"")).await;
    let mut rig = Rig::new();
    let fetched = rig.fetch(&server.url("/models/chat.gguf"), Some(sha256(&content))).await.unwrap();
    assert_eq!(std::fs::read(&fetched.model.path).unwrap(), content);
    assert_eq!(fetched.model.path, rig.dir.path().join("chat.gguf"));
    assert_eq!((fetched.model.size, fetched.model.sha256), (ByteCount(300_000), Some(sha256(&content))));
    assert_eq!((fetched.whose, fetched.others.len()), (Whose::Ours, 0));
    assert_eq!(rig.names(), ["chat.gguf"]);
    let last = rig.seen.last().unwrap();
    assert_eq!((last.done, last.total), (ByteCount(300_000), Some(ByteCount(300_000))));
    assert_eq!(server.asked()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_connection_that_breaks_at_any_byte_is_gone_on_from_there() {
    let mut seed = 7;
    for _ in 0..30 {
        let content = bytes(20_000, draw(&mut seed));
        let breaks: Vec<usize> = (0..3).map(|_| 1 + (draw(&mut seed) % 19_000) as usize).collect();
        let (served, mut left) = (content.clone(), breaks.clone());
        let server = Server::start(move |asked| {
            let reply = Reply::file(asked, &served, "\"a\"");
            left.pop().map_or(reply.clone(), |after| reply.how(How::Breaks(after)))
        })
        .await;
        let mut rig = Rig::new();
        let fetched = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap();
        assert_eq!(std::fs::read(&fetched.model.path).unwrap(), content, "breaks {breaks:?}");
        assert_eq!(fetched.model.sha256, Some(sha256(&content)));
        let asked = server.asked();
        assert_eq!(asked[0].from(), None);
        assert_eq!(asked[1].from(), breaks.last().copied());
        assert!(asked[1..].iter().all(|asked| asked.header("if-range") == Some("\"a\"")), "{asked:?}");
    }
}

#[tokio::test]
async fn a_file_that_changed_between_two_attempts_is_never_a_mix() {
    // Honest: it compares the etag. Dishonest: it gives a part of the new file, under the new etag or under none.
    for case in ["honest", "new etag", "no etag"] {
        let (old, new) = (bytes(10_000, 1), bytes(12_000, 2));
        let (first, second, mut count) = (old, new.clone(), 0);
        let server = Server::start(move |asked| {
            count += 1;
            match (count, case) {
                (1, _) => Reply::file(asked, &first, "\"old\"").how(How::Breaks(5000)),
                (2, "new etag" | "no etag") => {
                    let part = Reply::new(206, &second[5000..]).with("content-range", "bytes 5000-11999/12000");
                    if case == "no etag" { part } else { part.with("etag", "\"new\"") }
                }
                _ => Reply::file(asked, &second, "\"new\""),
            }
        })
        .await;
        let mut rig = Rig::new();
        let fetched = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap();
        assert_eq!(std::fs::read(&fetched.model.path).unwrap(), new, "{case}");
        assert_eq!(server.asked()[1].header("if-range"), Some("\"old\""));
    }
}

#[tokio::test]
async fn without_etag_and_checksum_a_broken_file_is_begun_anew() {
    for etag in ["", "W/\"weak\""] {
        let (content, mut count) = (bytes(10_000, 3), 0);
        let served = content.clone();
        let server = Server::start(move |asked| {
            count += 1;
            let reply = Reply::file(asked, &served, etag);
            if count == 1 { reply.how(How::Breaks(5000)) } else { reply }
        })
        .await;
        let mut rig = Rig::new();
        rig.fetch(&server.url("/chat.gguf"), None).await.unwrap();
        assert_eq!(server.asked()[1].from(), None, "{etag}");
    }
}

#[tokio::test]
async fn what_was_left_is_taken_up_after_a_restart_and_by_nobody_else() {
    let content = bytes(50_000, 4);
    let (served, mut count) = (content.clone(), 0);
    let server = Server::start(move |asked| {
        count += 1;
        if count == 1 {
            Reply::file(asked, &served, "\"a\"").how(How::Breaks(30_000))
        } else if count <= 7 {
            Reply::new(503, "")
        } else {
            Reply::file(asked, &served, "\"a\"")
        }
    })
    .await;
    let mut rig = Rig::new();
    let error = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Busy { status: 503, .. }), "{error}");
    assert_eq!(server.asked().len(), 7);
    assert_eq!(rig.names(), ["chat.gguf.part", "chat.gguf.part.note"]);
    // Another source of the same name in the same directory gets nothing of it.
    let mut other = Rig::new();
    for name in rig.names() {
        std::fs::copy(rig.dir.path().join(&name), other.dir.path().join(&name)).unwrap();
    }
    other.fetch(&server.url("/other/chat.gguf"), None).await.unwrap();
    assert_eq!(server.asked()[7].from(), None);
    rig.fetcher = hither_sources::Fetcher::new(Settings::default()).unwrap();
    let fetched = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap();
    assert_eq!(server.asked()[8].from(), Some(30_000));
    assert_eq!(std::fs::read(fetched.model.path).unwrap(), content);
}

#[tokio::test]
async fn dropping_ends_a_fetch_and_the_next_one_goes_on() {
    let (content, mut count) = (bytes(3_000_000, 5), 0);
    let served = content.clone();
    let server = Server::start(move |asked| {
        count += 1;
        let reply = Reply::file(asked, &served, "");
        if count == 1 { reply.how(How::Hangs(2_500_000)) } else { reply }
    })
    .await;
    let mut rig = Rig::new();
    let (url, sum) = (server.url("/chat.gguf"), Some(sha256(&content)));
    let ended = rig.fetch_until(&url, sum, |_| false, |progress| progress.done.0 == 2_500_000).await;
    assert!(ended.is_none());
    // The hold of the dropped one ends with its last write; until then the next one waits for it.
    let fetched = rig.fetch_while(&url, sum, |progress| progress.done.0 == 0).await.unwrap();
    assert_eq!(std::fs::read(fetched.model.path).unwrap(), content);
    let from = server.asked()[1].from().unwrap();
    assert!((1_000_000..=2_500_000).contains(&from), "{from}");
}

#[tokio::test]
async fn damage_on_the_disk_is_found_by_the_checksum_and_costs_one_more_fetch() {
    let (content, mut count) = (bytes(10_000, 6), 0);
    let served = content.clone();
    let server = Server::start(move |asked| {
        count += 1;
        let reply = Reply::file(asked, &served, "\"a\"");
        if count <= 7 { reply.how(How::Breaks(if count == 1 { 6000 } else { 0 })) } else { reply }
    })
    .await;
    let mut rig = Rig::new();
    let (url, sum) = (server.url("/chat.gguf"), Some(sha256(&content)));
    rig.fetch(&url, sum).await.unwrap_err();
    let part = rig.dir.path().join("chat.gguf.part");
    let mut damaged = std::fs::read(&part).unwrap();
    damaged[17] ^= 1;
    std::fs::write(&part, damaged).unwrap();
    let fetched = rig.fetch(&url, sum).await.unwrap();
    assert_eq!(std::fs::read(fetched.model.path).unwrap(), content);
    let asked: Vec<Option<usize>> = server.asked()[7..].iter().map(|asked| asked.from()).collect();
    assert_eq!(asked, [Some(6000), None]);
}

#[tokio::test]
async fn a_wrong_checksum_leaves_nothing_behind() {
    let content = bytes(10_000, 8);
    let server = Server::start(move |asked| Reply::file(asked, &content, "\"a\"")).await;
    let mut rig = Rig::new();
    let error = rig.fetch(&server.url("/chat.gguf"), Some(sha256(b"another"))).await.unwrap_err();
    assert!(error.to_string().contains("it was not kept"), "{error}");
    assert!(matches!(error, FetchError::Checksum { .. }));
    assert_eq!((rig.names().len(), server.asked().len()), (0, 1));
}

#[tokio::test]
async fn a_file_that_is_whole_already_is_not_asked_for() {
    let content = bytes(10_000, 9);
    let served = content.clone();
    let server = Server::start(move |asked| Reply::file(asked, &served, "\"a\"")).await;
    let mut rig = Rig::new();
    let (url, sum) = (server.url("/chat.gguf"), Some(sha256(&content)));
    rig.fetch(&url, sum).await.unwrap();
    rig.fetch(&url, sum).await.unwrap();
    assert_eq!(server.asked().len(), 1);
    // Without a checksum, nobody knows whether it is still the one.
    rig.fetch(&url, None).await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_length_that_lies_ends_after_a_bounded_number_of_attempts() {
    let server = Server::start(|_| Reply::new(200, "short").with("content-length", "5000").with("etag", "\"a\"")).await;
    let mut rig = Rig::new();
    let error = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert_eq!(server.asked().len(), 7);
    assert!(rig.waited.as_secs() > 20, "{:?}", rig.waited);
}

#[tokio::test]
async fn a_body_without_end_stops_at_the_bound() {
    let server = Server::start(|_| Reply::new(200, vec![7; 4096]).how(How::Endless)).await;
    let mut rig = Rig::with(Settings { largest: ByteCount(1_000_000), ..Settings::default() });
    let error = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge { limit: ByteCount(1_000_000), .. }), "{error}");
    assert!(rig.names().is_empty());
    assert!(rig.seen.iter().all(|progress| progress.done.0 <= 1_000_000));
}

#[tokio::test]
async fn what_does_not_fit_on_the_disk_is_refused_before_it_comes() {
    let petabytes = 1_u64 << 60;
    let server = Server::start(move |_| {
        Reply::new(200, "begin").with("content-length", &petabytes.to_string()).how(How::Hangs(5))
    })
    .await;
    let mut rig = Rig::with(Settings { largest: ByteCount(u64::MAX), ..Settings::default() });
    let error = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap_err();
    let FetchError::NoSpace { needed, missing, .. } = &error else { panic!("{error}") };
    assert!(needed.0 == petabytes && missing.0 > petabytes / 2 && missing.0 < petabytes, "{error}");
    assert!(error.to_string().ends_with("are missing"), "{error}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_and_asked_again() {
    let (content, mut count) = (bytes(40_000, 10), 0);
    let served = content.clone();
    let server = Server::start(move |asked| {
        count += 1;
        let reply = Reply::file(asked, &served, "\"a\"");
        if count == 1 { reply.how(How::Hangs(25_000)) } else { reply }
    })
    .await;
    let mut rig = Rig::new();
    let stalls = |progress: hither_sources::Progress| progress.done.0 == 25_000;
    let fetched = rig.fetch_while(&server.url("/chat.gguf"), None, stalls).await.unwrap();
    assert_eq!(std::fs::read(fetched.model.path).unwrap(), content);
    assert_eq!(server.asked()[1].from(), Some(25_000));
    assert!(rig.waited.as_secs() >= 30, "{:?}", rig.waited);
}

#[tokio::test]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    let mut count = 0;
    let server = Server::start(move |asked| {
        count += 1;
        if count == 1 { Reply::new(429, "").with("retry-after", "40") } else { Reply::file(asked, b"GGUF", "\"a\"") }
    })
    .await;
    let mut rig = Rig::new();
    rig.fetch(&server.url("/chat.gguf"), None).await.unwrap();
    assert!((40..45).contains(&rig.waited.as_secs()), "{:?}", rig.waited);
    let server = Server::start(|_| Reply::new(429, "").with("retry-after", "86400")).await;
    let error = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap_err();
    assert!(error.to_string().contains("86400 s; try again then"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn redirects_are_followed_but_not_in_circles_and_not_elsewhere() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/chat.gguf" => Reply::to(302, "files/real.gguf?sig=1"),
        "/files/real.gguf?sig=1" => Reply::file(asked, b"GGUF", "\"a\""),
        "/away.gguf" => Reply::to(302, "http://192.0.2.1/chat.gguf?token=hush"),
        "/up.gguf" => Reply::to(302, "https://192.0.2.1/chat.gguf"),
        "/user.gguf" => Reply::to(302, "http://user:hush@127.0.0.1:1/chat.gguf"),
        _ => Reply::to(307, "/circle.gguf"),
    })
    .await;
    let mut rig = Rig::new();
    let fetched = rig.fetch(&server.url("/chat.gguf"), None).await.unwrap();
    assert_eq!(fetched.model.path, rig.dir.path().join("chat.gguf"));
    let error = rig.fetch(&server.url("/circle.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects(_)), "{error}");
    assert_eq!(server.asked().len(), 2 + 6);
    for path in ["/away.gguf", "/up.gguf"] {
        let error = rig.fetch(&server.url(path), None).await.unwrap_err();
        assert!(matches!(error, FetchError::Downgrade { .. }), "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
    let error = rig.fetch(&server.url("/user.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Answer { .. }) && !error.to_string().contains("hush"), "{error}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_no_secret() {
    let server = Server::start(|asked| match asked.path.split('?').next().unwrap() {
        "/401.gguf" => Reply::new(401, "secret page"),
        "/page.gguf" => Reply::new(200, "<html>").with("content-type", "text/HTML; charset=utf-8"),
        "/packed.gguf" => Reply::new(200, "x").with("content-encoding", "gzip"),
        "/busy.gguf" => Reply::new(500, ""),
        _ => Reply::new(404, ""),
    })
    .await;
    for (path, says) in [
        ("/404.gguf?sig=hush", "there is no such file"),
        ("/401.gguf?sig=hush", "fetch the file by other means and give its path"),
        ("/page.gguf?sig=hush", "give the address of the file itself"),
        ("/packed.gguf?sig=hush", "it is compressed (gzip)"),
        ("/busy.gguf?sig=hush", "try again later"),
    ] {
        let mut rig = Rig::new();
        let error = rig.fetch(&server.url(path), None).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(says) && !text.contains("hush") && !text.contains("secret page"), "{text}");
        let notes = rig.names().into_iter().filter(|name| name.ends_with("note"));
        for note in notes {
            assert!(!std::fs::read_to_string(rig.dir.path().join(note)).unwrap().contains("hush"));
        }
    }
}

#[tokio::test]
async fn a_split_model_is_all_its_parts() {
    let server = Server::start(|asked| Reply::file(asked, asked.path.as_bytes(), "\"a\"")).await;
    let mut rig = Rig::new();
    let url = server.url("/m/big%20one-00002-of-00003.gguf?key=1");
    let fetched = rig.fetch(&url, None).await.unwrap();
    assert_eq!(fetched.model.path, rig.dir.path().join("big one-00001-of-00003.gguf"));
    assert_eq!(fetched.others.len(), 2);
    let last = std::fs::read_to_string(&fetched.others[1].path).unwrap();
    assert_eq!(last, "/m/big%20one-00003-of-00003.gguf?key=1");
    let error = rig.fetch(&url, Some(sha256(b"x"))).await.unwrap_err();
    assert!(matches!(error, FetchError::ChecksumOfSeveral(3)), "{error}");
}

#[tokio::test]
async fn two_fetches_of_one_file_do_not_write_into_one_another() {
    let content = bytes(10_000, 11);
    let server = Server::start(move |asked| Reply::file(asked, &content, "\"a\"").how(How::Hangs(5000))).await;
    let rig = Rig::new();
    let held = std::fs::File::create(rig.dir.path().join("chat.gguf.part")).unwrap();
    held.try_lock().unwrap();
    let mut rig = rig;
    let error = rig.fetch_while(&server.url("/chat.gguf"), None, |_| true).await.unwrap_err();
    assert!(matches!(error, FetchError::InUse(_)), "{error}");
    assert!(server.asked().is_empty());
}

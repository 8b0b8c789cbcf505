//! What the doctor prints.

use super::*;

#[test]
fn checks_are_grouped_and_each_trouble_has_its_help() {
    let checks = [
        Check::ok(Area::Machine, "cores", "2 usable"),
        Check::warn(Area::Machine, "swap", "on", "swapoff -a"),
        Check::fail(Area::Law, "policy", "broken", "hither policy check FILE"),
    ];
    let shown = text(&checks, Colour::Off);
    let expected = "machine\n  ✓ cores            2 usable\n  ! swap             on\n                     help: swapoff -a\n\
                    law\n  ✗ policy           broken\n                     help: hither policy check FILE\n\
                    1 ok, 1 to look at, 1 failed\n";
    assert_eq!(shown, expected);
    assert_eq!(object(&checks[1])["state"], "warn");
}

#[test]
fn only_a_failure_ends_the_program_badly() {
    let screen = Screen::new(true);
    assert_eq!(answer(screen, &[Check::warn(Area::Disk, "space", "little", "df -h")]), Ok(()));
    let failed = answer(screen, &[Check::fail(Area::Disk, "space", "none", "df -h")]).unwrap_err();
    assert_eq!((failed.code.as_str(), failed.exit), ("E0802", Exit::Failed));
}

/// A peer that has said nothing but where it stands.
pub(super) fn node(site: &str) -> hither_api::admin::NodeDto {
    let member = hither_api::admin::MemberDto {
        node: "01".repeat(32),
        mesh: "02".repeat(32),
        site: site.to_owned(),
        jurisdiction: "DE".to_owned(),
        control: None,
        operator: "acme".to_owned(),
        assurance: "vouched".to_owned(),
        expires_unix_ms: 0,
        roles: Vec::new(),
    };
    hither_api::admin::NodeDto {
        member,
        presence: PresenceDto::Present,
        gone_us: None,
        rtt_us: None,
        models: Vec::new(),
        power_mw: 0,
        cap_mw: 0,
        program: None,
        addresses: Vec::new(),
        policy: None,
        evidence: None,
    }
}

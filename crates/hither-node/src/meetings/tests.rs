//! One joiner for each invite, one promise, and nobody before its words were typed where they must be.

use hither_types::id::{MeshId, SiteName};
use hither_types::member::Roles;
use hither_types::place::Jurisdiction;

use super::*;
use crate::trust::{invite_name, invite_proof};

const NOW: WallTime = WallTime(1_000_000);
const JOINER: NodeId = NodeId([2; 32]);
const OTHER: NodeId = NodeId([3; 32]);
const NUMBER: [u8; 32] = [7; 32];

/// A node that made one invite.
struct Issuer {
    invites: Invites,
    meetings: Meetings,
    invite: Invite,
    _dir: tempfile::TempDir,
}

impl Issuer {
    fn with(comparison: Comparison) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let invites = Invites::open(dir.path().to_owned()).unwrap();
        let invite = Invite {
            mesh: MeshId([9; 32]),
            issuer: NodeId([1; 32]),
            addresses: Vec::new(),
            secret: [4; 16],
            site: SiteName::parse("paris").unwrap(),
            jurisdiction: Jurisdiction::parse("FR").unwrap(),
            expires: WallTime(NOW.0 + 10),
            pass: None,
            comparison: Some(comparison),
            roles: Roles::ALL,
            operator: None,
        };
        invites.keep(&invite, NOW).unwrap();
        Self { invites, meetings: Meetings::default(), invite, _dir: dir }
    }

    fn name(&self) -> [u8; 16] {
        invite_name(&self.invite.secret)
    }

    fn meet(&mut self, joiner: NodeId, promised: [u8; 32]) -> Result<[u8; 32], InviteError> {
        let proof = invite_proof(&self.invite.secret, joiner);
        let knock = Knock { invite: self.name(), proof, promised, joiner };
        self.meetings.meet(&self.invites, &knock, NOW)
    }

    fn reveal(&mut self, joiner: NodeId, number: [u8; 32], now: WallTime) -> Result<Revealed, InviteError> {
        self.meetings.reveal(&self.name(), number, joiner, now)
    }

    fn state(&self, now: WallTime) -> InviteState {
        self.meetings.state(&self.invites, &self.name(), now).unwrap()
    }

    /// What the joiner shows.
    fn words(&self, issuer_number: [u8; 32]) -> Words {
        let Invite { mesh, issuer, .. } = self.invite;
        let invite = self.name();
        Encounter { mesh, invite, issuer, joiner: JOINER, issuer_number, joiner_number: NUMBER }.words()
    }
}

#[test]
fn both_show_the_same_words_and_nobody_has_to_do_anything() {
    let mut issuer = Issuer::with(Comparison::Shown);
    assert_eq!(issuer.state(NOW).stage, InviteStage::Open);
    let number = issuer.meet(JOINER, commitment(&NUMBER)).unwrap();
    let let_in = Revealed::LetIn(Box::new(issuer.invite.clone()));
    assert_eq!(issuer.reveal(JOINER, NUMBER, NOW).unwrap(), let_in);
    issuer.meetings.joined(&issuer.name());
    let state = issuer.state(NOW);
    assert_eq!((state.stage, state.node), (InviteStage::Joined, Some(JOINER)));
    assert_eq!(state.words, Some(issuer.words(number).to_string()));
    // Its certificate may have been lost on the way.
    assert_eq!(issuer.reveal(JOINER, NUMBER, NOW).unwrap(), let_in);
}

#[test]
fn nobody_is_let_in_before_its_words_were_typed() {
    let mut issuer = Issuer::with(Comparison::Typed);
    let number = issuer.meet(JOINER, commitment(&NUMBER)).unwrap();
    let words = issuer.words(number);
    assert_eq!(issuer.meetings.confirm(words, NOW), None, "it has not shown its number");
    for _ in 0..3 {
        assert_eq!(issuer.reveal(JOINER, NUMBER, NOW).unwrap(), Revealed::Waiting);
    }
    // Whoever types reads from the other screen: this one does not show them.
    let state = issuer.state(NOW);
    assert_eq!((state.stage, state.words), (InviteStage::Waiting, None));
    let others = issuer.words([0; 32]);
    assert_eq!(issuer.meetings.confirm(others, NOW), None, "somebody else's words");
    assert_eq!(issuer.reveal(JOINER, NUMBER, NOW).unwrap(), Revealed::Waiting);
    assert_eq!(issuer.meetings.confirm(words, NOW).unwrap().0, JOINER);
    assert!(matches!(issuer.reveal(JOINER, NUMBER, NOW).unwrap(), Revealed::LetIn(_)));
    assert_eq!(issuer.meetings.confirm(words, NOW), None, "once");
}

#[test]
fn nobody_gets_a_second_try_at_the_words() {
    let mut issuer = Issuer::with(Comparison::Typed);
    let number = issuer.meet(JOINER, commitment(&NUMBER)).unwrap();
    // The same promise again has the same answer: it may have been lost.
    assert_eq!(issuer.meet(JOINER, commitment(&NUMBER)).unwrap(), number);
    assert!(matches!(issuer.meet(JOINER, commitment(&[8; 32])), Err(InviteError::Used)));
    assert!(matches!(issuer.meet(OTHER, commitment(&NUMBER)), Err(InviteError::Used)));
    // A number that was chosen after that of the issuer was known.
    assert!(matches!(issuer.reveal(JOINER, [8; 32], NOW), Err(InviteError::Promise)));
    assert!(matches!(issuer.reveal(OTHER, NUMBER, NOW), Err(InviteError::NotMet)));
    assert_eq!(issuer.reveal(JOINER, NUMBER, NOW).unwrap(), Revealed::Waiting);
    assert!(matches!(issuer.reveal(JOINER, [8; 32], NOW), Err(InviteError::Promise)));
}

#[test]
fn words_that_nobody_typed_in_time_let_nobody_in() {
    let mut issuer = Issuer::with(Comparison::Typed);
    let late = WallTime(NOW.0 + 11);
    let number = issuer.meet(JOINER, commitment(&NUMBER)).unwrap();
    assert_eq!(issuer.reveal(JOINER, NUMBER, NOW).unwrap(), Revealed::Waiting);
    let words = issuer.words(number);
    assert_eq!(issuer.meetings.confirm(words, late), None);
    assert!(matches!(issuer.reveal(JOINER, NUMBER, late), Err(InviteError::Expired)));
    assert_eq!(issuer.state(late).stage, InviteStage::Expired);
}

#[test]
fn a_start_in_between_lets_nobody_in_and_says_so() {
    let mut issuer = Issuer::with(Comparison::Shown);
    issuer.meet(JOINER, commitment(&NUMBER)).unwrap();
    issuer.meetings = Meetings::default();
    assert!(matches!(issuer.reveal(JOINER, NUMBER, NOW), Err(InviteError::NotMet)));
    assert!(matches!(issuer.meet(JOINER, commitment(&NUMBER)), Err(InviteError::Used)));
    assert_eq!(issuer.state(NOW).stage, InviteStage::Used);
}

#[test]
fn a_program_that_knows_no_words_does_not_get_around_them() {
    let issuer = Issuer::with(Comparison::Typed);
    let proof = invite_proof(&issuer.invite.secret, JOINER);
    let take = |manner| issuer.invites.take(&issuer.name(), &proof, JOINER, manner, NOW);
    assert!(matches!(take(Manner::Plain), Err(InviteError::Words)));
    // The invite is not used by that.
    assert!(take(Manner::Met).is_ok());
}

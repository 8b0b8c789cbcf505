//! The table of codes: each with its status, OpenAI's word for it, what it means and what to do.
//!
//! What must stay true: a code never changes its meaning; the page `/docs/errors` is made from this table.

/// One row: what people can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub title: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:literal, $openai:expr, $remedy:literal;)+) => {
        /// What can go wrong, each with its stable code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// OpenAI's own word for it, where it has one.
            pub fn openai(self) -> Option<&'static str> {
                match self { $(Self::$name => $openai,)+ }
            }

            /// What can be looked up.
            pub fn entry(self) -> Entry {
                match self {
                    $(Self::$name => Entry {
                        code: $code,
                        status: $status,
                        title: concat!($($doc,)+),
                        remedy: $remedy,
                    },)+
                }
            }
        }
    };
}

codes! {
    /// The request is not from this machine's own pages or programs.
    ForeignOrigin = "E0113", 403, None, "Call the node by its address, or name the host under [api] hosts in hither.toml.";
    /// A command of an operator came over TCP, and the Unix socket alone takes them.
    SocketOnly = "E0114", 403, None, "Type the command at the machine of the node: hither help.";
    /// No key was sent, and this node needs one.
    KeyNeeded = "E0116", 401, Some("invalid_api_key"), "Make one with hither apps add NAME and send it as Authorization: Bearer hk_….";
    /// The app may not do this.
    NotAllowed = "E0117", 403, None, "hither apps limit NAME widens what it may do.";
    /// The key belongs to no app.
    WrongKey = "E0118", 401, Some("invalid_api_key"), "hither apps ls shows which apps have a key; hither apps rotate NAME makes a new one.";
    /// The token is not believed, or belongs to no app.
    WrongToken = "E0119", 401, Some("invalid_api_key"), "Ask the issuer for a new token, or link its subject: hither apps add NAME --subject VALUE.";
    /// Another program runs with the same key as this node, and was started before it.
    KeyInUse = "E0214", 503, None, "Stop one of the two: the data directory was copied. A machine of its own joins by hither invite, with a new data directory.";
    /// The certificate of the node that asks, or of those that could serve, does not let it.
    RoleMissing = "E0219", 403, None, "hither member ls shows the roles of each; an issuer gives them with hither invite --roles, and a node that has too few joins anew with another key.";
    /// The law leaves no place that may serve the request.
    Unlawful = "E0301", 451, None, "The answer names the rule that came closest. hither models pull MODEL brings the model here, so that the data need not leave.";
    /// The law of the place that was asked says no.
    UnlawfulThere = "E0302", 451, None, "Compare the policy files of both sites: hither policy check FILE.";
    /// A label loosens what holds without one.
    LabelLoosened = "E0303", 400, None, "Leave x-hither-class out, or send a higher class.";
    /// A header of the label, or a number in one, cannot be read.
    LabelUnreadable = "E0304", 400, None, "The message names the header and what it takes.";
    /// The law does not let data of this class be kept for later.
    NotKeptByLaw = "E0305", 451, None, "Send the request itself and wait for its answer, without a job.";
    /// The filter of a server outside the mesh keeps the request from it, and no other place can answer.
    Withheld = "E0306", 422, None, "The message names the kinds and how many. Take them out, bring the model into the mesh, or let the filter mask: action = \"mask\" under [endpoint.NAME.filter].";
    /// Nobody in the mesh has the model.
    UnknownModel = "E0401", 404, Some("model_not_found"), "hither models ls shows which there are; hither models add FILE --name NAME adds one.";
    /// The model has no such version.
    UnknownVersion = "E0402", 404, None, "The versions that there are: /v2/models/MODEL.";
    /// There is nothing at this path.
    UnknownRoute = "E0403", 404, None, "GET /openapi.json names all paths; /docs shows them.";
    /// The path does not take this method.
    WrongMethod = "E0404", 405, None, "The header Allow says what it takes.";
    /// The model cannot be loaded, or its engine crashed too often.
    ModelBroken = "E0405", 500, None, "hither status says why and when it is tried again; hither models pull MODEL tries at once.";
    /// The model does another kind of work.
    WrongKind = "E0406", 400, None, "Tensors go to /v2/models/MODEL/infer, text to /v1/chat/completions.";
    /// The request is not remembered here any more.
    NotRemembered = "E0407", 404, None, "hither explain ID, at the node that the request entered.";
    /// What is asked for would have to be kept, and is not.
    NotKept = "E0408", 404, None, "Keep what POST /v1/responses answers, and send what matters of it in input.";
    /// A part of the protocol that this node does not offer.
    NotOffered = "E0410", 501, None, "The message says what to do instead.";
    /// The model's entry in the catalog has ended.
    ModelExpired = "E0411", 410, None, "hither models publish MODEL --valid-for 90d, at a member that may publish, gives it another end.";
    /// No server outside the mesh that the app may use trains the model.
    NotTrained = "E0412", 404, Some("model_not_found"), "Name the model under [endpoint.NAME] of hither.toml: trains = [\"MODEL\"].";
    /// There is no such job, or it belongs to another app.
    UnknownJob = "E0420", 404, None, "GET /v1/jobs lists those that there are.";
    /// The job has not ended.
    JobNotEnded = "E0421", 409, None, "Wait: GET /v1/jobs/ID says how far it is. Or give it up: POST /v1/jobs/ID/cancel.";
    /// The job has ended.
    JobEnded = "E0422", 409, None, "GET /v1/jobs/ID says how.";
    /// The Idempotency-Key was used for another request.
    KeyReused = "E0423", 422, None, "Send a new Idempotency-Key, or the request that it was used for.";
    /// The first request with this Idempotency-Key has not ended.
    KeyBusy = "E0424", 409, None, "Wait for the first answer, then send the same again, or use another key.";
    /// The first request with this Idempotency-Key was answered, and the answer was too large to be kept.
    AnswerNotKept = "E0425", 409, None, "Send the request again with another key: it is run once more.";
    /// There is no such file, or it belongs to another app.
    UnknownFile = "E0426", 404, None, "GET /v1/files lists those that there are.";
    /// A batch that has not ended reads the file.
    FileInUse = "E0427", 409, None, "Wait until the batch has ended: GET /v1/batches/ID. Or give it up: POST /v1/batches/ID/cancel.";
    /// There is no such batch, or it belongs to another app.
    UnknownBatch = "E0428", 404, None, "GET /v1/batches lists those that there are.";
    /// The batch has ended.
    BatchEnded = "E0429", 409, None, "GET /v1/batches/ID says how.";
    /// There is no such training, or it belongs to another app.
    UnknownTraining = "E0460", 404, None, "GET /v1/fine_tuning/jobs lists those that there are.";
    /// The same examples were handed over before, and may lie at a server.
    TrainingThere = "E0461", 409, None, "hither jobs show ID says what lies where; hither jobs cancel ID gives it up, and then the same can be handed over again.";
    /// The training has ended, or has not begun.
    TrainingEnded = "E0462", 409, None, "GET /v1/fine_tuning/jobs/ID says how far it is.";
    /// Too much is asked for at the moment.
    Overloaded = "E0501", 429, Some("rate_limit_exceeded"), "Try again after the seconds in Retry-After.";
    /// The power budget leaves no slot.
    NoPower = "E0502", 503, None, "Wait, or raise the cap of the site: hither status shows who has power to spare.";
    /// A lawful place has the model, and none can serve it now.
    NoCapacity = "E0503", 503, None, "hither status shows who is there. Try again after the seconds in Retry-After.";
    /// The deadline passed before an answer was there.
    DeadlinePassed = "E0504", 504, None, "Give more time with the header x-hither-timeout-ms.";
    /// The ledger cannot record that data leaves, so nothing leaves.
    LedgerUnavailable = "E0505", 503, None, "Look into the log of the node for the fault of its disk.";
    /// The node is stopping.
    Stopping = "E0506", 503, None, "Ask another node, or try again.";
    /// The place that was asked does not know this node as a member.
    NotAMember = "E0507", 503, None, "hither status, at both sites.";
    /// No place gave an answer: engines failed.
    EngineFailed = "E0508", 500, None, "hither explain ID shows each attempt; the log of the node has the rest.";
    /// No place gave an answer: each that was tried fell silent.
    PlacesLost = "E0509", 503, None, "hither status shows who is there. Try again after the seconds in Retry-After.";
    /// The app has used what it may.
    LimitReached = "E0510", 429, Some("rate_limit_exceeded"), "Wait for the seconds in Retry-After; hither apps limit NAME changes the limit.";
    /// What may leave or be spent today is spent.
    BudgetSpent = "E0511", 429, Some("insufficient_quota"), "hither budget shows what is spent. Wait for the seconds in Retry-After, or raise the budget in hither.toml.";
    /// A server outside the mesh refuses the key of the node or failed several times in a row, and no other place can answer.
    Barred = "E0512", 503, None, "hither status says why and what to do. Try again after the seconds in Retry-After.";
    /// No more jobs are kept.
    JobsFull = "E0520", 507, None, "DELETE /v1/jobs/ID of those whose results you have, or raise max, max_mb or app_share under [jobs] in hither.toml.";
    /// The disk of the node is full, so the job is not kept.
    JobDiskFull = "E0521", 507, None, "Free some space for the data directory of the node: df -h.";
    /// The node keeps no jobs, or its disk does not take or give them.
    JobsOff = "E0522", 503, None, "Look into the log of the node for the fault of its disk, or send the request itself.";
    /// The deadline of the job passed before an answer was there.
    JobExpired = "E0523", 504, None, "Hand it in again with more time.";
    /// The body, the path or the query is not what the protocol says.
    Malformed = "E0601", 400, None, "The message says where it stops making sense.";
    /// A tensor is not what the model takes.
    WrongTensor = "E0602", 400, None, "GET /v2/models/MODEL says what it takes.";
    /// Prompt and answer do not fit into the context of the model.
    ContextOverflow = "E0603", 400, Some("context_length_exceeded"), "Shorten the messages or ask for fewer tokens; truncation: auto leaves the oldest out and says so.";
    /// A field changes the meaning of the answer, and what it asks for is not offered.
    Unsupported = "E0604", 400, Some("unsupported_parameter"), "Leave the field out: nothing that changes the meaning is dropped silently.";
    /// A field has a value that is not allowed.
    OutOfRange = "E0605", 400, Some("invalid_value"), "The message says what the field takes.";
    /// The body is too large.
    TooLarge = "E0606", 413, None, "Send it in parts, or tensors in binary form.";
    /// The body has an encoding that is not taken.
    WrongEncoding = "E0607", 415, None, "Send it plain, or as gzip or deflate.";
    /// The answer cannot be written as JSON.
    NotJson = "E0608", 400, None, "Ask for the output in binary form: \"parameters\": {\"binary_data\": true}.";
    /// The client sent its body too slowly.
    TooSlow = "E0609", 408, None, "Send it again over a faster connection, or in parts.";
}

/// What is said of commands of operators: the node behind the door gives these, all with status 422.
pub const OF_COMMANDS: &[Entry] = &[
    command("E0160", "There is an app of this name already.", "hither apps ls"),
    command("E0161", "There is no app of this name.", "hither apps ls"),
    command("E0162", "The node keeps as many apps as it can.", "hither apps rm NAME of those that nobody needs."),
    command("E0163", "The name cannot be that of an app.", "Choose another name."),
    command("E0164", "The user is another app already.", "Choose another user, or hither apps rm NAME."),
    command("E0165", "The apps cannot be written to the disk, and stay as they were.", "df -h"),
    command(
        "E0167",
        "Callers with this certificate or token are another app already.",
        "Choose another name, or hither apps limit NAME --unlink certificate,subject.",
    ),
    command("E0168", "Keys of an app's references are not destroyed.", "df -h; then type it again."),
    command("E0201", "This is not a ticket.", "Copy the whole line that hither invite printed."),
    command(
        "E0202",
        "The invite has expired, by the clock of the machine that says so.",
        "Ask for a new one: hither invite. If this one is new, hither doctor shows the clock.",
    ),
    command("E0204", "The node that made the invite did not let this one in.", "Ask for a new invite: hither invite."),
    command(
        "E0205",
        "The node that made the invite cannot be reached.",
        "Check that it is up and that its address can be reached from here.",
    ),
    command("E0206", "The certificate that came back is not believed.", "Ask for a new invite: hither invite."),
    command("E0207", "This node may not let others in.", "Run hither invite at the node that made the mesh."),
    command("E0208", "The invite could not be made.", "The message says why."),
    command("E0209", "The node that revokes stays.", "hither leave"),
    command("E0210", "There is no such member or issuer.", "hither member ls"),
    command(
        "E0211",
        "That is for the founder of the mesh to say.",
        "Run the command at the founder: hither authority.",
    ),
    command("E0212", "The authority log does not take it.", "The message says why."),
    command("E0215", "This node cannot leave the mesh.", "The message says why, and what comes first."),
    command(
        "E0216",
        "Nobody is there to hear that this node leaves.",
        "hither leave, once hither status shows a member.",
    ),
    command(
        "E0217",
        "The program of the node that made the invite and this one have no version of their protocol in common.",
        "The message says which of the two to renew.",
    ),
    command(
        "E0218",
        "The member cannot be reached.",
        "Check that it is up; two nodes behind routers need a relay that both reach.",
    ),
    command(
        "E0220",
        "No node waits with these words.",
        "Read them once more from the screen of the node that joins. If they are right, somebody else used the invite: make \
         a new one, and hand it over another way.",
    ),
    command("E0221", "No join is under way.", "hither join TICKET"),
    command("E0222", "There is no such invite on this node, or its time is long over.", "hither invite"),
    command("E0223", "No proposal waits that begins so, or this node approves none.", "hither authority"),
    command(
        "E0224",
        "The founder alone does not end what this node may: approvers have to agree.",
        "hither authority dismiss NODE, or hither authority quorum without it; once that is approved, hither member revoke.",
    ),
    command(
        "E0225",
        "With these approvers the quorum could never be reached.",
        "hither authority quorum 2 --approvers A,B,C: as many as are needed, or more, each once and without the founder.",
    ),
    command("E0311", "The policy cannot be read, and stays as it was.", "hither policy check FILE"),
    command(
        "E0312",
        "What was sent is no policy, or fails its own tests; the one in force stays.",
        "hither policy check FILE",
    ),
    command(
        "E0313",
        "Another policy is in force than the one that the new one was compared with; it stays.",
        "hither policy apply FILE shows what it would change now.",
    ),
    command("E0314", "The policy cannot be written to the disk, and stays as it was.", "df -h"),
    command(
        "E0315",
        "The node lives by a policy that the founder of the mesh published for it, and keeps it.",
        "hither policy publish FILE, at the founder.",
    ),
    command(
        "E0316",
        "Members run programs that do not read published policies, and would take no later entry of the authority log.",
        "Update them; hither member ls shows who runs which program.",
    ),
    command(
        "E0317",
        "Nothing is published: the version is not higher than that of the one before, or there is nothing to withdraw.",
        "hither policy published",
    ),
    command("E0318", "No policy with this digest is kept here.", "hither policy published"),
    command("E0409", "The model is not open on this node, so there is nothing to ask.", "hither ps"),
    command(
        "E0430",
        "The model gives wrong answers on this node, and is not offered any more.",
        "hither models pull MODEL",
    ),
    command(
        "E0432",
        "Another model of the mesh has this name, or this file another name.",
        "Choose another --name; the message says which.",
    ),
    command("E0433", "The model file cannot be read.", "Give the path of a model file that the node may read."),
    command("E0434", "The model file cannot be taken into the store.", "df -h"),
    command("E0435", "The model file cannot be opened.", "The message says what is wrong with it."),
    command("E0436", "The model cannot be published.", "The message says why."),
    command(
        "E0438",
        "The model does not give the answers that came with it.",
        "Correct the file that --golden names, or leave it away.",
    ),
    command("E0439", "The model's file is not on this node's disk.", "hither models ls"),
    command("E0440", "The model is being opened, or answers requests.", "Try again when it is idle: hither ps."),
    command(
        "E0441",
        "Nobody else who is present has the model.",
        "Let another node pull it first, or hither models rm MODEL --last.",
    ),
    command(
        "E0442",
        "The new model is no version of the name.",
        "Publish it under the name, a colon and what the version is called: fraud:2.",
    ),
    command("E0443", "The name means this version already.", "hither models rollout MODEL"),
    command(
        "E0444",
        "The new version does not answer what the old one is asked: other inputs, fewer outputs, a shorter context.",
        "Publish it under another name, which applications ask for.",
    ),
    command(
        "E0445",
        "The node may not publish, so nobody would hear of it.",
        "Do it at a node that may: hither member ls.",
    ),
    command("E0446", "No new version of the model is being rolled out.", "hither models ls"),
    command("E0447", "The rollout cannot be told: too many sites, or too many names.", "The message says which."),
    command("E0448", "The model is pinned to this node.", "hither models unpin MODEL"),
    command(
        "E0449",
        "The model cannot be pinned, or unpinned.",
        "The message says why: take it out of pinned under [models] in hither.toml, or unpin others.",
    ),
    command(
        "E0450",
        "The file that the node took is not the one whose signature was checked: it changed meanwhile.",
        "Add it again from a place where nobody writes.",
    ),
    command("E0901", "The node is stopping.", "hither up"),
    command(
        "E0902",
        "Drills are not allowed on this node.",
        "Write [drill] allow = true into hither.toml and start the node again.",
    ),
    command("E0903", "The node could not write to its disk.", "df -h"),
];

const fn command(code: &'static str, title: &'static str, remedy: &'static str) -> Entry {
    Entry { code, status: 422, title, remedy }
}

/// Every code that an answer over HTTP can carry, in their order.
pub(crate) fn all() -> Vec<Entry> {
    let mut all: Vec<Entry> = Code::ALL.iter().map(|code| code.entry()).chain(OF_COMMANDS.iter().copied()).collect();
    all.sort_by_key(|entry| entry.code);
    all
}

/// What a code means, in one line.
pub(crate) fn title(code: &str) -> Option<&'static str> {
    let of_codes = Code::ALL.iter().map(|code| code.entry());
    of_codes.chain(OF_COMMANDS.iter().copied()).find(|entry| entry.code == code).map(|entry| entry.summary())
}

impl Entry {
    /// What it means, without the blank of a doc comment and the full stop of a sentence.
    pub(crate) fn summary(&self) -> &'static str {
        self.title.trim().trim_end_matches('.')
    }
}

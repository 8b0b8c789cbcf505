//! Clients that leave.

use super::*;

fn leaving(request: u128, leavers: &Arc<Leavers>) -> Leaving {
    let (answers, _) = mpsc::channel(1);
    let session =
        Arc::new(Session::new(RequestId(request), bytes::Bytes::new(), answers, crate::traces::Trace::default()));
    Leaving { session, leavers: Arc::clone(leavers) }
}

#[tokio::test]
async fn clients_that_leave_early_are_named_and_one_that_leaves_after_the_end_is_not() {
    let leavers = Arc::new(Leavers::default());
    let [first, ended, last] = [1, 2, 3].map(|request| leaving(request, &leavers));
    ended.session.end();
    for client in [first, ended, last] {
        drop(client);
    }
    assert_eq!(leavers.next().await, [RequestId(1), RequestId(3)]);
    drop(leaving(4, &leavers));
    assert_eq!(leavers.next().await, [RequestId(4)]);
}

use super::World;
use guildhall_fleet::NodeId;
use guildhall_fleet::probes::Report;

#[tokio::test]
async fn one_of_many_makes_the_call_that_is_due_and_all_read_what_came_of_it() {
    let world = World::new().await;
    let (store, node, gone) = (&world.store, NodeId::from("eu-1"), NodeId::from("eu-2"));
    let (first, second) = tokio::join!(store.claim_probe(&node, None, 1_000), store.claim_probe(&node, None, 2_000));
    let due = if first.unwrap() { 1_000 } else { 2_000 };
    assert_eq!(second.unwrap(), due == 2_000, "one of the two");
    assert!(!store.claim_probe(&node, None, 3_000).await.unwrap());
    assert!(!store.claim_probe(&node, Some(due + 1), 3_000).await.unwrap());
    assert!(store.claim_probe(&node, Some(due), 3_000).await.unwrap());
    assert_eq!(store.probes().await.unwrap()[&node], (3_000, Report::default()));

    assert!(store.claim_probe(&gone, None, 4_000).await.unwrap());
    let mut report = Report::default();
    report.failed(100_000_000, 1 << 63, "no audio through it".to_owned(), false);
    store.report_probe(&node, 100_030_000, &report).await.unwrap();
    let found: Vec<_> = store.probes().await.unwrap().into_iter().collect();
    assert_eq!(found, [(node, (100_030_000, report))], "who was not called for a day is forgotten");
}

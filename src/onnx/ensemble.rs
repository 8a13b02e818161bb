//! The ensemble as one graph: its members side by side on the same input, joined by a weighted mean of probabilities.

use anyhow::{Context, Result, bail, ensure};

use super::graph::{Graph, integer};
use super::input::Inputs;
use super::lower::{Member, member};
use super::{Metadata, ModelProto, PROBABILITIES};
use crate::units::Temperature;

/// The name of P where a temperature makes the probabilities of it.
const VOTE: &str = "vote";

/// Several networks as one ONNX file: P = Σ wᵢ · pᵢ / Σ wᵢ, and the first of the largest as label.
///
/// Members with equal views and equal normalisation share their nodes. A member whose vote is 0 adds nothing to P and is left out of the
/// graph. A `temperature` T makes the probabilities P^(1/T) / Σ P^(1/T), as the softmax of ln(max(P, floor)) / T with the
/// [floor](Temperature::FLOOR) that gives 0 a logarithm; the label is that of P. To the metadata it adds `members`: a JSON list of each member's name, share of the vote, and architecture; and `temperature`
/// where there is one.
///
/// # Errors
/// When there are no members, the number of votes is another, a vote is negative or not finite, all are 0, two members
/// have one name, images or numbers of classes differ, or as [`super::lower`] for a member.
pub fn ensemble(members: &[Member<'_>], votes: &[f32], temperature: Temperature, metadata: &Metadata) -> Result<ModelProto> {
    let shares = shares(members, votes).with_context(|| format!("cannot export `{}`", metadata.model))?;
    let first = members[0].architecture;
    metadata.check(first.classes).with_context(|| format!("cannot export `{}`", metadata.model))?;
    let voters: Vec<(&Member<'_>, f64)> = members.iter().zip(shares.iter().copied()).filter(|(_, share)| *share > 0.0).collect();

    let mut graph = Graph::default();
    let mut inputs = Inputs::default();
    let mut sum: Option<String> = None;
    let is_tempered = temperature != Temperature::ONE;
    let voted = if is_tempered { VOTE } else { PROBABILITIES };
    for (index, (voter, share)) in voters.iter().enumerate() {
        let context = || format!("cannot export `{}`, a member of `{}`", voter.name, metadata.model);
        let probabilities = format!("{}/{PROBABILITIES}", voter.name);
        member(&mut graph, &mut inputs, voter, &probabilities).with_context(context)?;
        let share = graph.constant(&format!("{}/vote.share", voter.name), &[], &[*share])?;
        let is_last = index + 1 == voters.len();
        let output = |is_output: bool, part: &str| if is_output { voted.to_owned() } else { format!("{}/{part}", voter.name) };
        let vote = graph.node("Mul", &output(is_last && index == 0, "vote"), &[&probabilities, &share], vec![]);
        sum = Some(match sum {
            None => vote,
            Some(sum) => graph.node("Add", &output(is_last, "sum"), &[&sum, &vote], vec![]),
        });
    }
    if is_tempered {
        let floor = graph.constant("vote.floor", &[], &[f64::from(Temperature::FLOOR)])?;
        let power = graph.constant("vote.power", &[], &[1.0 / temperature.get()])?;
        let kept = graph.node("Max", "vote.kept", &[VOTE, &floor], vec![]);
        let logarithm = graph.node("Log", "vote.logarithm", &[&kept], vec![]);
        let scaled = graph.node("Mul", "vote.scaled", &[&logarithm, &power], vec![]);
        graph.node("Softmax", PROBABILITIES, &[&scaled], vec![integer("axis", 1)]);
    }
    let list: Vec<serde_json::Value> = members
        .iter()
        .zip(&shares)
        .map(|(member, share)| serde_json::json!({ "name": member.name, "share": share, "architecture": member.architecture }))
        .collect();
    let mut further = vec![("members", serde_json::Value::from(list).to_string())];
    if is_tempered {
        further.push(("temperature", temperature.get().to_string()));
    }
    Ok(graph.finish(&metadata.model, first.input, first.classes, voted, metadata, &further))
}

/// The votes divided by their sum.
fn shares(members: &[Member<'_>], votes: &[f32]) -> Result<Vec<f64>> {
    let Some(first) = members.first() else { bail!("an ensemble needs at least one member") };
    ensure!(members.len() == votes.len(), "there are {} members, but {} votes", members.len(), votes.len());
    for (index, (member, vote)) in members.iter().zip(votes).enumerate() {
        ensure!(vote.is_finite() && *vote >= 0.0, "the vote of `{}` is {vote}; it must be 0 or above", member.name);
        ensure!(!members[..index].iter().any(|other| other.name == member.name), "two members are called `{}`", member.name);
        let (own, others) = (member.architecture, first.architecture);
        ensure!(
            own.input == others.input && own.classes == others.classes,
            "`{}` takes images of {} and knows {} classes, `{}` takes {} and knows {}",
            member.name,
            own.input,
            own.classes,
            first.name,
            others.input,
            others.classes
        );
    }
    let sum: f64 = votes.iter().map(|&vote| f64::from(vote)).sum();
    ensure!(sum > 0.0, "all votes are 0");
    Ok(votes.iter().map(|&vote| f64::from(vote) / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{check, encode, samples};
    use super::*;
    use crate::nn::{Architecture, Weights};

    fn networks() -> Vec<(&'static str, Architecture, Weights)> {
        let layers = r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#;
        let mut third = samples::architecture(1, layers);
        third.normalisation.mean = vec![0.9];
        let architectures = [samples::architecture(1, layers), samples::architecture(1, layers), third];
        let named = ["vote", "probabilities", "sum"].into_iter().zip(architectures);
        named
            .enumerate()
            .map(|(seed, (name, network))| (name, network.clone(), samples::weights(&network, seed as u64)))
            .collect()
    }

    fn members<'a>(networks: &'a [(&'static str, Architecture, Weights)]) -> Vec<Member<'a>> {
        networks.iter().map(|(name, architecture, weights)| Member { name, architecture, weights }).collect()
    }

    #[test]
    fn members_share_equal_normalisations_and_those_without_a_vote_are_left_out() {
        let networks = networks();
        let nodes = |votes: &[f32]| -> Vec<String> {
            let model = ensemble(&members(&networks), votes, Temperature::ONE, &samples::metadata("ensemble")).unwrap();
            check(&model).unwrap();
            assert_eq!(
                encode(&model),
                encode(&ensemble(&members(&networks), votes, Temperature::ONE, &samples::metadata("ensemble")).unwrap())
            );
            let list = model.metadata_props.iter().find(|entry| entry.key == "members").unwrap();
            assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&list.value).unwrap().len(), 3);
            model.graph.unwrap().node.into_iter().map(|node| node.name).collect()
        };
        let all = nodes(&[1.0, 1.0, 2.0]);
        insta::assert_snapshot!(all.join("\n"), @"
        vote/normalisation.centred
        vote/normalisation
        vote/0
        vote/1
        vote/probabilities
        vote/vote
        probabilities/0
        probabilities/1
        probabilities/probabilities
        probabilities/vote
        probabilities/sum
        sum/normalisation.centred
        sum/normalisation
        sum/0
        sum/1
        sum/probabilities
        sum/vote
        probabilities
        label
        ");
        assert!(!nodes(&[1.0, 0.0, 2.0]).iter().any(|name| name.starts_with("probabilities/")));
        assert!(nodes(&[0.0, 1.0, 0.0]).contains(&"probabilities".to_owned()));
    }

    #[test]
    fn a_temperature_follows_the_vote_and_the_label_goes_before_it() {
        let networks = networks();
        let temperature = Temperature::new(0.8).unwrap();
        let model = ensemble(&members(&networks), &[1.0, 0.0, 1.0], temperature, &samples::metadata("ensemble")).unwrap();
        check(&model).unwrap();
        let entry = model.metadata_props.iter().find(|entry| entry.key == "temperature").unwrap();
        assert_eq!(entry.value, "0.8");
        let nodes: Vec<String> = model
            .graph
            .unwrap()
            .node
            .iter()
            .map(|node| format!("{} {} ← {}", node.op_type, node.name, node.input.join(", ")))
            .collect();
        insta::assert_snapshot!(nodes[nodes.len() - 6..].join("\n"), @"
        Add vote ← vote/vote, sum/vote
        Max vote.kept ← vote, vote.floor
        Log vote.logarithm ← vote.kept
        Mul vote.scaled ← vote.logarithm, vote.power
        Softmax probabilities ← vote.scaled
        ArgMax label ← vote
        ");
    }

    #[test]
    fn votes_and_members_that_do_not_fit_are_named() {
        let networks = networks();
        let check = |members: &[Member<'_>], votes: &[f32], expected: &str| {
            let error = format!("{:#}", ensemble(members, votes, Temperature::ONE, &samples::metadata("both")).unwrap_err());
            assert_eq!(error, format!("cannot export `both`: {expected}"));
        };
        let members = members(&networks);
        check(&[], &[], "an ensemble needs at least one member");
        check(&members, &[1.0], "there are 3 members, but 1 votes");
        check(&members, &[1.0, -1.0, 1.0], "the vote of `probabilities` is -1; it must be 0 or above");
        check(&members, &[1.0, f32::NAN, 1.0], "the vote of `probabilities` is NaN; it must be 0 or above");
        check(&members, &[0.0, 0.0, 0.0], "all votes are 0");
        check(&[members[0], members[0]], &[1.0, 1.0], "two members are called `vote`");
        let wide = samples::architecture(3, r#"[{"flatten": {}}, {"dense": {"units": 4}}]"#);
        let weights = samples::weights(&wide, 1);
        let other = Member { name: "wide", architecture: &wide, weights: &weights };
        let expected = "`wide` takes images of 3×9×8 and knows 4 classes, `vote` takes 1×9×8 and knows 4";
        check(&[members[0], other], &[1.0, 1.0], expected);
    }
}

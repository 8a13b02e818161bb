//! Stages and what they read, in an order in which they can run.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use super::StageId;

/// A directed graph without circles: each stage and the stages whose outputs it reads.
#[derive(Clone, Debug)]
pub struct Graph {
    /// In the order given to [`Graph::new`]; everything else here counts in this order.
    ids: Vec<StageId>,
    numbers: HashMap<StageId, usize>,
    inputs: Vec<Vec<usize>>,
    dependents: Vec<Vec<usize>>,
    /// Every stage after all that it reads.
    order: Vec<usize>,
}

/// Why stages and their inputs are not a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two stages have one name.
    #[error("there are two stages named `{0}`")]
    Duplicate(StageId),
    /// A stage reads one that is not there.
    #[error("stage `{stage}` reads `{input}`, which no stage makes")]
    Unknown {
        /// The stage that reads.
        stage: StageId,
        /// What it reads.
        input: StageId,
    },
    /// Stages wait for each other. No stage is in two of the circles; in each, every stage is read by the next, and the
    /// last by the first.
    #[error("stages wait for each other: {}", circles(.0))]
    Cycles(Vec<Vec<StageId>>),
}

impl Graph {
    /// Builds the graph from each stage's name and the names of the stages it reads. An input that is named twice counts
    /// once.
    ///
    /// # Errors
    /// [`GraphError::Duplicate`] or [`GraphError::Unknown`] for the first such stage, else [`GraphError::Cycles`] with
    /// every circle.
    pub fn new(nodes: Vec<(StageId, Vec<StageId>)>) -> Result<Self, GraphError> {
        let mut numbers = HashMap::with_capacity(nodes.len());
        for (number, (id, _)) in nodes.iter().enumerate() {
            if numbers.insert(id.clone(), number).is_some() {
                return Err(GraphError::Duplicate(id.clone()));
            }
        }
        let (mut ids, mut inputs) = (Vec::with_capacity(nodes.len()), Vec::with_capacity(nodes.len()));
        let mut dependents = vec![Vec::new(); nodes.len()];
        for (number, (stage, names)) in nodes.into_iter().enumerate() {
            let mut found: Vec<usize> = Vec::with_capacity(names.len());
            for input in names {
                match numbers.get(&input) {
                    Some(other) if found.contains(other) => {}
                    Some(&other) => found.push(other),
                    None => return Err(GraphError::Unknown { stage, input }),
                }
            }
            for &input in &found {
                dependents[input].push(number);
            }
            ids.push(stage);
            inputs.push(found);
        }
        let order = topological_order(&inputs, &dependents, &BTreeSet::new());
        if order.len() < ids.len() {
            let named = |circle: Vec<usize>| circle.into_iter().map(|number| ids[number].clone()).collect();
            return Err(GraphError::Cycles(find_circles(&inputs, &dependents).into_iter().map(named).collect()));
        }
        Ok(Self { ids, numbers, inputs, dependents, order })
    }

    /// The number of stages.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no stage at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether a stage of this name is in the graph.
    pub fn contains(&self, id: &StageId) -> bool {
        self.numbers.contains_key(id)
    }

    /// All stages, each after everything it reads; where several could come next, the one that was given first.
    pub fn order(&self) -> impl ExactSizeIterator<Item = &StageId> {
        self.order.iter().map(|&number| &self.ids[number])
    }

    /// The stages that `id` itself reads, in the order in which it names them. Empty for a stage that is not here.
    pub fn inputs(&self, id: &StageId) -> Vec<&StageId> {
        self.neighbours(id, &self.inputs)
    }

    /// The stages that themselves read `id`, in the order in which they were given. Empty for a stage that is not here.
    pub fn dependents(&self, id: &StageId) -> Vec<&StageId> {
        self.neighbours(id, &self.dependents)
    }

    /// Every stage that `id` needs, directly or through others, without `id`, in running order. Empty for a stage that is
    /// not here.
    pub fn ancestors(&self, id: &StageId) -> Vec<&StageId> {
        self.reachable(id, &self.inputs)
    }

    /// Every stage that needs `id`, directly or through others, without `id`, in running order. Empty for a stage that is
    /// not here.
    pub fn descendants(&self, id: &StageId) -> Vec<&StageId> {
        self.reachable(id, &self.dependents)
    }

    fn neighbours(&self, id: &StageId, edges: &[Vec<usize>]) -> Vec<&StageId> {
        let near = self.numbers.get(id).map_or(&[][..], |&number| &edges[number]);
        near.iter().map(|&number| &self.ids[number]).collect()
    }

    fn reachable(&self, id: &StageId, edges: &[Vec<usize>]) -> Vec<&StageId> {
        let mut reached = vec![false; self.ids.len()];
        let mut open: Vec<usize> = self.numbers.get(id).copied().into_iter().collect();
        while let Some(number) = open.pop() {
            for &next in &edges[number] {
                if !std::mem::replace(&mut reached[next], true) {
                    open.push(next);
                }
            }
        }
        self.order.iter().filter(|&&number| reached[number]).map(|&number| &self.ids[number]).collect()
    }
}

/// Kahn's algorithm (1962) over the stages not in `without`, always taking the first that is free. Stages on a circle, and
/// those that need one, are left out.
fn topological_order(inputs: &[Vec<usize>], dependents: &[Vec<usize>], without: &BTreeSet<usize>) -> Vec<usize> {
    let mut waits_for: Vec<usize> =
        inputs.iter().map(|inputs| inputs.iter().filter(|input| !without.contains(input)).count()).collect();
    let mut free: BinaryHeap<Reverse<usize>> =
        (0..inputs.len()).filter(|number| waits_for[*number] == 0 && !without.contains(number)).map(Reverse).collect();
    let mut order = Vec::with_capacity(inputs.len());
    while let Some(Reverse(number)) = free.pop() {
        order.push(number);
        for &dependent in &dependents[number] {
            waits_for[dependent] -= 1;
            if waits_for[dependent] == 0 && !without.contains(&dependent) {
                free.push(Reverse(dependent));
            }
        }
    }
    order
}

/// Circles that share no stage, such that without their stages no circle is left. Each follows the data and starts with
/// its first stage.
fn find_circles(inputs: &[Vec<usize>], dependents: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut circles = Vec::new();
    let mut without = BTreeSet::new();
    loop {
        let sorted: BTreeSet<usize> = topological_order(inputs, dependents, &without).into_iter().collect();
        let is_stuck = |number: &usize| !sorted.contains(number) && !without.contains(number);
        let Some(start) = (0..inputs.len()).find(is_stuck) else { return circles };
        // A stuck stage always reads a stuck stage, so walking up from one comes round.
        let mut path = vec![start];
        let mut circle = loop {
            let last = path[path.len() - 1];
            let above = inputs[last].iter().copied().find(is_stuck).expect("a stage is only stuck behind another that is");
            match path.iter().position(|&number| number == above) {
                Some(position) => break path.split_off(position),
                None => path.push(above),
            }
        };
        circle.reverse();
        let first = (0..circle.len()).min_by_key(|&position| circle[position]).unwrap_or(0);
        circle.rotate_left(first);
        without.extend(&circle);
        circles.push(circle);
    }
}

/// `a → b → a; c → c`
fn circles(circles: &[Vec<StageId>]) -> String {
    let one = |circle: &Vec<StageId>| {
        let around = circle.iter().chain(circle.first());
        around.map(StageId::as_str).collect::<Vec<_>>().join(" → ")
    };
    circles.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Stages as `name: input input`, separated by commas.
    fn graph(text: &str) -> Result<Graph, GraphError> {
        let id = |name: &str| name.trim().parse::<StageId>().unwrap();
        let node = |text: &str| {
            let (name, inputs) = text.split_once(':').unwrap();
            (id(name), inputs.split_whitespace().map(id).collect())
        };
        Graph::new(text.split(',').map(node).collect())
    }

    fn names<'a>(ids: impl IntoIterator<Item = &'a StageId>) -> String {
        ids.into_iter().map(StageId::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn order_follows_edges_and_else_the_file() {
        for (text, order) in [
            ("a:, b:, c:", "a b c"),
            ("c:, b:, a:", "c b a"),
            ("report: basic, basic: raw, raw:", "raw basic report"),
            ("z: a, b:, a:, c: z", "b a z c"),
        ] {
            assert_eq!(names(graph(text).unwrap().order()), order, "{text}");
        }
    }

    #[test]
    fn neighbours_and_closures() {
        let graph = graph("raw:, parts: raw, a: parts, b: parts, vote: b a parts, alone:").unwrap();
        let id = |name: &str| name.parse::<StageId>().unwrap();
        assert_eq!(names(graph.inputs(&id("vote"))), "b a parts");
        assert_eq!(names(graph.dependents(&id("parts"))), "a b vote");
        assert_eq!(names(graph.ancestors(&id("vote"))), "raw parts a b");
        assert_eq!(names(graph.descendants(&id("raw"))), "parts a b vote");
        assert_eq!(names(graph.descendants(&id("alone"))), "");
        assert_eq!(names(graph.ancestors(&id("nobody"))), "");
        assert!(!graph.contains(&id("nobody")) && graph.len() == 6 && !graph.is_empty());
    }

    #[test]
    fn what_is_not_a_graph_is_named() {
        for (text, error) in [
            ("a:, a:", "there are two stages named `a`"),
            ("a: b", "stage `a` reads `b`, which no stage makes"),
            ("a: a", "stages wait for each other: a → a"),
            ("x: a, a: c, b: a, c: b", "stages wait for each other: a → b → c → a"),
            ("a: b, b: a, c: d b, d: c, e: d", "stages wait for each other: a → b → a; c → d → c"),
        ] {
            assert_eq!(graph(text).unwrap_err().to_string(), error, "{text}");
        }
    }

    proptest! {
        /// Any set of edges gives an order in which every stage follows its inputs, or circles whose edges exist.
        #[test]
        fn order_or_circles(edges in proptest::collection::vec((0..8_usize, 0..8_usize), 0..14)) {
            let id = |number: usize| format!("s{number}").parse::<StageId>().unwrap();
            let inputs = |number| edges.iter().filter(|edge| edge.0 == number).map(|edge| id(edge.1)).collect::<Vec<_>>();
            match Graph::new((0..8).map(|number| (id(number), inputs(number))).collect()) {
                Ok(graph) => {
                    let order: Vec<_> = graph.order().collect();
                    prop_assert_eq!(order.len(), 8);
                    for (position, stage) in order.iter().enumerate() {
                        prop_assert!(graph.inputs(stage).iter().all(|input| order[..position].contains(input)));
                        prop_assert!(graph.ancestors(stage).iter().all(|above| graph.descendants(above).contains(stage)));
                    }
                }
                Err(GraphError::Cycles(circles)) => {
                    prop_assert!(!circles.is_empty());
                    for circle in circles {
                        for (from, to) in circle.iter().zip(circle.iter().cycle().skip(1)) {
                            prop_assert!((0..8).any(|number| id(number) == *to && inputs(number).contains(from)));
                        }
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}

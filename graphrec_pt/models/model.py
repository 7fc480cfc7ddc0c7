"""The model: node features, token vectors and a backbone, with the objectives' heads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, cast

from torch import Tensor, nn

from graphrec_pt.core.errors import GraphRecError
from graphrec_pt.core.registry import trusting
from graphrec_pt.features.node_features import Features
from graphrec_pt.features.seeded import derive_seed, seeded
from graphrec_pt.graph.graph import Graph
from graphrec_pt.graph.spec import GraphSpec
from graphrec_pt.models.adaptor import Adaptor
from graphrec_pt.models.allocation import bounded
from graphrec_pt.models.backbone import Backbone, TwoStream
from graphrec_pt.models.head import build_head, head_config
from graphrec_pt.models.host import Host
from graphrec_pt.models.hub import model_folder, upload
from graphrec_pt.models.model_config import ModelConfig, Shape
from graphrec_pt.models.prompt import PromptStates
from graphrec_pt.models.prompts.family import PromptConfig
from graphrec_pt.models.save import (
    SavedModel,
    fill,
    model_card,
    read_model,
    write_model,
)
from graphrec_pt.models.token_embedding import TokenEmbedding, special_rows, structure_of
from graphrec_pt.models.usage import Usage
from graphrec_pt.models.view import Encoded, View
from graphrec_pt.tokens.kind import Special
from graphrec_pt.tokens.tokens import Tokens
from graphrec_pt.tokens.vocabulary import Vocabulary
from graphrec_pt.tokens.words import Words

OF = "of_"
"""Before the label of an objective in the name of its head: modules cannot have any name."""


class Model(Host):
    """The network from views of tokens to hidden states.

    Args:
        config: Its shape.
        spec: Spec of the graph that it is for.
        seed: Seed of the first weights, which are a function of it and the config.
        tokenizer: The tokenizer that ``text`` of the config names; needed where it is fitted on a
            graph.

    Attributes:
        vocabulary: Names of the graph's ids; None until the model is bound or loaded.
        graph: The graph that the model was last bound to; None before.
        prompt: The prompt encoder; None where the model has no prompt.
        heads: The heads that the model was trained with, each as it was last, by ``of_{label}``.
        usage: Configs of the last training stage; None before any training.

    Example:
        >>> transformer = {"name": "graph_transformer", "width": 32, "heads": 2}
        >>> model = Model.of(train, backbone=transformer, seed=0)
        >>> model.table("item").shape  # 5 items
        torch.Size([5, 32])
    """

    def __init__(
        self,
        config: ModelConfig,
        spec: GraphSpec,
        seed: int = 0,
        tokenizer: Words | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.config = config = config.sized(spec)
        self.tokenizer = tokenizer = tokenizer or config.tokenizer()
        text = config.text if isinstance(config.text, int) else len(tokenizer or ())
        text = 0 if config.keeps_words else text
        chosen, width = config.backbone, config.backbone.width
        self.features = seeded(
            lambda: config.features.build(spec, width), derive_seed(seed, "features")
        )
        self.embedding = seeded(
            lambda: TokenEmbedding(spec, width, text=text, prompts=config.prompts),
            derive_seed(seed, "embedding"),
        )
        self.backbone = chosen.build(derive_seed(seed, "backbone"))
        if tokenizer is not None and len(tokenizer) > self.num_words:
            expected = f"a tokenizer of at most {self.num_words} tokens, as the backbone has words"
            got = f"{len(tokenizer)} of {tokenizer.name}"
            raise GraphRecError("model.text", expected, got, "text: backbone")
        if config.keeps_words:
            network = getattr(self.backbone, "config", None)
            self.embedding.stand_beside(special_rows(tokenizer, network) if tokenizer else {})
        self.vocabulary: Vocabulary | None = None
        self.graph: Graph | None = None
        self.register_module("prompt", None)  # before the heads, whenever it comes
        self.heads = nn.ModuleDict()
        self.usage: Usage | None = None
        self._columns = tuple(getattr(chosen, "structure", {}))
        for kind, wanted in (("prompt", config.prompt), ("adaptor", config.adaptor)):
            if wanted is not None:
                wanted.attach(self, derive_seed(seed, kind))

    @classmethod
    def of(
        cls,
        graph: Graph,
        *,
        backbone: str | Mapping[str, object] | Backbone = "graph_transformer",
        features: Features | None = None,
        text: int | str = 0,
        prompts: int = 0,
        prompt: str | Mapping[str, object] | PromptConfig | None = None,
        adaptor: str | Mapping[str, object] | Adaptor | None = None,
        seed: int = 0,
    ) -> Self:
        """Return a new model of a graph, bound to it.

        Args:
            graph: The training graph.
            backbone: Name, config or object.
            features: One learned vector per node by default.
            text: Size of the text vocabulary, or a tokenizer such as ``trained:8000``.
            prompts: Number of learned prompt tokens.
            prompt: Name, config or object of a soft prompt.
            adaptor: Name, config or object of an adaptor.
            seed: Seed of the first weights.
        """
        config = ModelConfig(
            features=features or Features(),
            backbone=backbone,
            text=text,
            prompts=prompts,
            prompt=prompt,
            adaptor=adaptor,
        )
        spec = GraphSpec.of(graph)
        return cls(config, spec, seed, config.tokenizer(graph)).attach_graph(graph)

    def shape(self) -> dict[str, Any]:
        """Return config and spec, JSON-ready: what ``config.json`` of a folder holds."""
        return Shape(spec=self.spec, **dict(self.config)).model_dump(mode="json")

    @property
    def num_parameters(self) -> int:
        """The number of weights without those of heads."""
        heads = sum(parameter.numel() for parameter in self.heads.parameters())
        return sum(parameter.numel() for parameter in self.parameters()) - heads

    def labelled_heads(self) -> dict[str, nn.Module]:
        """Return the heads by the labels of their objectives, in the order they were put in."""
        return {name.removeprefix(OF): each for name, each in self.heads.items()}

    def put_head(self, label: str, network: nn.Module) -> None:
        """Keep the head of an objective from now on, as the last one.

        Args:
            label: Label of the objective.
            network: In place of any head that it has.

        Raises:
            GraphRecError: For a network that could not be saved.
        """
        head_config(network)
        if OF + label in self.heads:
            del self.heads[OF + label]
        self.heads[OF + label] = network

    def make_heads(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        """Create missing heads from saved configs; the caller fills their weights.

        Args:
            configs: By label; see :func:`~graphrec_pt.models.head.head_config`.
        """
        for label, config in configs.items():
            has = self.labelled_heads().get(label)
            if has is None or head_config(has) != config:
                self.put_head(label, seeded(partial(build_head, config), 0))

    def attach_graph(self, graph: Graph) -> Self:
        """Read what the features need of a graph, and return the model.

        Raises:
            GraphRecError: When the graph has other nodes or relations than the model, or numbers
                them in another way.
        """
        vocabulary = Vocabulary.of(graph)
        self._check(vocabulary)
        self.features.attach_graph(graph)
        if self.prompt is not None:
            self.prompt.attach_graph(graph)
        if self.vocabulary is None and self.embedding.gain is not None:
            self.balance(graph)
        self.vocabulary, self.graph = vocabulary, graph
        return self

    @property
    def bound(self) -> bool:
        """Whether features and prompt have what they read of a graph."""
        reads = self.prompt is not None and self.prompt.reads
        return self.features.bound and (not reads or self.graph is not None)

    def save_pretrained(self, folder: str | Path, *, inputs: bool = True) -> Path:
        """Write the model to a folder, all or nothing, in place of a saved model there.

        Args:
            folder: See :mod:`graphrec_pt.models.save` for what it holds.
            inputs: Keep what the features read off the graph too, so that the loaded model runs
                without the graph. Models with a propagation, or with a prompt that reads a graph,
                need it all the same.

        Raises:
            GraphRecError: Before :meth:`attach_graph`, and when the folder holds anything else.
        """
        if self.vocabulary is None or not self.features.bound:
            hint = "model.attach_graph(graph)"
            raise GraphRecError("save_pretrained", "a model with a graph", "none", hint)
        read = self.features.reads
        kept = inputs and read and self.features.propagate is None
        config, weights, base = self.shape(), self.state_dict(), self.base
        left_out = set() if base is None else base.unchanged(weights)
        saved = SavedModel(
            kind=type(self).__name__,
            config=config,
            heads={label: head_config(each) for label, each in self.labelled_heads().items()},
            usage=self.usage,
            weights={name: each for name, each in weights.items() if name not in left_out},
            vocabulary=self.vocabulary,
            tokenizer=self.stored_tokenizer(),
            base=base.record if base is not None and left_out else None,
            inputs=self.features.inputs() if kept else None,
        )
        size = self.num_parameters
        ready = (kept or not read) and not (self.prompt is not None and self.prompt.reads)
        card = model_card(config, self.spec, size, ready=ready)
        return write_model(folder, saved, card)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        trust_code: bool = False,
        base: str | Path | None = None,
    ) -> Self:
        """Return a saved model, in evaluation mode and on the CPU.

        Args:
            name: A folder, or ``"owner/name"`` on the Hugging Face Hub.
            revision: Branch, tag or commit on the Hub.
            trust_code: Let the config name code by dotted path or plug-in, which is then run.
            base: Folder of the base model, whose weights a save leaves out; by default where it
                was when the model was saved.

        Raises:
            GraphRecError: When it is not there, not whole, or not for this version; when its base
                is not there, or another one.
        """
        folder = model_folder(name, revision)
        saved = read_model(folder, base)
        if saved.kind != cls.__name__:
            raise GraphRecError(str(folder), f"a {cls.__name__}", saved.kind)
        with trusting(trust_code):
            shape = Shape.checked(saved.config, str(folder))
        size = sum(weight.numel() for weight in saved.weights.values()) + saved.base_size
        with bounded(size, str(folder)), trusting(trust_code):
            stored = saved.tokenizer
            words = None if stored is None else Words(stored)
            model = cls(shape.config, shape.spec, tokenizer=words)
            model._check(saved.vocabulary)
            model.make_heads(saved.heads)
        fill(model, saved.completed(model.state_dict(), model.base, folder), str(folder))
        model.usage = saved.usage
        if saved.inputs is not None:
            model.features.restore(saved.inputs)
        model.vocabulary = saved.vocabulary
        return model.eval()

    def push_to_hub(
        self,
        name: str,
        *,
        inputs: bool = False,
        private: bool | None = None,
        message: str = "Upload model",
    ) -> str:
        """Put the model on the Hugging Face Hub, and return its address.

        Args:
            name: ``"owner/name"``.
            inputs: As in :meth:`save_pretrained`; they are a part of the data set, whose licence
                says whether they may be published.
            private: Whether a new repository is; as the owner's settings say by default.
            message: Message of the commit.
        """
        with TemporaryDirectory() as scratch:
            folder = self.save_pretrained(Path(scratch) / "model", inputs=inputs)
            return upload(folder, name, private=private, message=message)

    @contextmanager
    def cached_embeddings(self, tables: dict[str, Tensor] | None = None) -> Iterator[None]:
        """Make the vectors of a node type at most once inside the block: one forward pass.

        Args:
            tables: Storage for later blocks, between which no weight changes.
        """
        with self.features.cached_embeddings(tables):
            yield

    def inputs(self, tokens: Tokens) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the backbone reads: vectors ``[T, D]`` and structural columns ``[T]``."""
        x = self.embedding(tokens, self.features, self._word_table)  # [T, D]
        return x, structure_of(tokens, self._columns)

    def encode(self, view: View, prompt: PromptStates | None = None) -> Encoded:
        """Return the hidden states of a view.

        Args:
            view: Tokens and who sees whom.
            prompt: Prompt states before every sequence; the model's own prompt by default.
        """
        tokens = view.tokens
        if prompt is None and self.prompt is not None:
            prompt = self.prompt(view.of_prompt(), self)
        x, structure = self.inputs(tokens)
        if view.two_stream:
            if view.order is None:
                raise GraphRecError("model", "an order for two streams", "none", "View(order=…)")
            query = self.embedding.special.weight[Special.MASK].expand_as(x)
            hidden, query_states = cast(TwoStream, self.backbone).two_stream(
                x, query, tokens.ptr, structure, view.order, prompt, edges=tokens.edges
            )
            return Encoded(view, hidden, query_states)
        hidden = self.backbone(
            x,
            tokens.ptr,
            structure,
            prompt,
            mode=view.mode,
            order=view.order,
            prefix=view.prefix,
            edges=tokens.edges,
        )
        return Encoded(view, hidden)

    def _check(self, vocabulary: Vocabulary) -> None:
        """Raise unless the graph numbers nodes and relations as the model does."""
        known, spec = self.vocabulary, self.spec
        ends = tuple((r.name, r.source, r.target) for r in spec.relations)
        types = dict(zip(spec.node_names, spec.counts, strict=True))
        if (vocabulary.node_types, vocabulary.relations) != (spec.node_names, ends) or (
            vocabulary.counts != types
        ):
            expected = f"a graph of {_named_counts(types, spec.relation_names)}"
            got = _named_counts(vocabulary.counts, vocabulary.relation_names)
        elif known is not None and not known.nodes.equals(vocabulary.nodes):
            expected = "the nodes that the model knows, numbered as there"
            got = f"{vocabulary.match(known)} known"
        else:
            return
        raise GraphRecError("model", expected, got, "transfer(model, graph) for another graph")


def _named_counts(counts: Mapping[str, int], relations: Sequence[str]) -> str:
    nodes = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{nodes}; relations {', '.join(relations) or 'none'}"

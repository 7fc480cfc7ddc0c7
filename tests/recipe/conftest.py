"""An invented shop as raw files in the layouts of real data sets, so that recipes run on it."""

import json
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import polars as pl
import pytest

from graphrec_pt import Key
from graphrec_pt.core.registry import config_of
from graphrec_pt.data.card import card_files
from graphrec_pt.data.synthetic import synthetic_tables
from graphrec_pt.features.image_table import boxes
from graphrec_pt.recipe.files import load_recipe
from graphrec_pt.recipe.recipe import Recipe

SMALL = (
    "model.backbone.width=16",
    "model.backbone.layers=1",
    "options.cpu=true",
)
"""Overrides that make a recipe small enough for a test."""
FEW = "evaluate.baselines=[popularity, markov]"
"""And one that rankings have."""
WORDS = "{name: static_text, columns: [keywords]}"
CODES = f"{{name: codes, digits: 8, values: 8, of: {WORDS}}}"
GPT = (
    "{model_type: gpt2, vocab_size: 320, hidden_size: 16, num_hidden_layers: 1, "
    "num_attention_heads: 2, max_position_embeddings: 256}"
)
LANGUAGE_MODEL = ("model.text=trained:300", f"model.backbone.model={GPT}")
CHOICE = "{name: choice, liked: 4, likes: 3, dislikes: 2, shown: 2, others: 2}"
LISTS, SITTINGS = "movielens-100k-lists", "sittings.data"
"""A card of lists, and the file of ratings that it reads in tests: the shop's are days apart."""
PLAIN_TEXTS = "model.features.by_type.item=[{name: static_text, columns: [title, description]}]"
INSTEAD = {
    "outfit_transformer": ["evaluate.baselines=[popularity]"],
    "llara": LANGUAGE_MODEL,
    "recobert": ["model.text=trained:300", "evaluate.baselines=[popularity]"],
    "prec": ["model.text=trained:300"],
    "twhin_bert": ["model.features.by_type.item=[static_text]", "stages.1.strategy.frozen=[]"],
    "sileo": [*LANGUAGE_MODEL, f"evaluate.task={CHOICE}", "evaluate.baselines=[popularity]"],
    "plm_nr": [PLAIN_TEXTS],
    "gram": [PLAIN_TEXTS],
    "speedyfeed": [PLAIN_TEXTS],
    "unisrec": [f"model.features.by_type.item=[{WORDS}]"],
    "vq_rec": [f"model.features.by_type.item=[{CODES}]"],
}
"""What stands for pre-trained encoders, by recipe."""


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the data sets that the recipes name, with invented content."""
    folder = tmp_path_factory.mktemp("raw")
    _, tables = synthetic_tables(60, 40, 700, clusters=4, key=Key(1))
    rows = tables["interactions"].select(
        pl.col("user").str.slice(1).cast(pl.Int64) + 1,
        pl.col("item").str.slice(1).cast(pl.Int64) + 1,
        "rating",
        "time",
    )
    histories = rows.group_by("user", maintain_order=True).agg("item")
    lines = [" ".join(map(str, [user, *items])) for user, items in histories.iter_rows()]
    (folder / "Beauty.txt").write_text("\n".join(lines) + "\n")
    items = tables["items"]
    names = sorted({*items["category"], *items["brand"]})
    numbers = {
        str(row + 1): [names.index(category) + 1, names.index(brand) + 1]
        for row, (category, brand) in enumerate(items.select("category", "brand").iter_rows())
    }
    (folder / "Beauty_item2attributes.json").write_text(json.dumps(numbers))
    for part in (".txt", "_item2attributes.json"):
        copyfile(folder / f"Beauty{part}", folder / f"Yelp{part}")
    rows.with_columns(pl.col("rating").cast(pl.Int64)).write_csv(
        folder / "u.data", separator="\t", include_header=False
    )
    words = ["awful", "poor", "plain", "nice", "great"]  # as many stars
    with (folder / "reviews_Shop_5.json").open("w") as file:
        for user, item, rating, time in rows.iter_rows():
            thing = ("strap", "amp", "cable", "pedal")[item % 4]
            text = f"a {words[int(rating) - 1]} {thing} of kind {item % 4}"
            told = {"reviewerID": f"u{user}", "asin": f"i{item}", "overall": rating}
            told |= {"unixReviewTime": time, "reviewText": text, "summary": text[:8]}
            file.write(json.dumps(told) + "\n")
    with (folder / "u.user").open("w") as file:
        for user in range(1, 61):
            file.write(f"{user}|{20 + user % 40}|{'MF'[user % 2]}|work{user % 5}|{10000 + user}\n")
    with (folder / "u.item").open("w") as file:
        for item in range(1, 41):
            flags = "|".join("1" if genre == item % 19 else "0" for genre in range(19))
            file.write(f"{item}|Film {item}|01-Jan-19{80 + item % 20}||http://x|{flags}\n")
    write_details(folder)
    write_sittings(folder)
    write_posters(folder)
    write_outfits(folder)
    write_articles(folder)
    write_names(folder, items, names)
    write_clicks(folder, rows)
    write_lines(folder, rows, items)
    write_events(folder, rows)
    write_hospital(folder)
    write_movielens_kg(folder, rows)
    write_talks(folder)
    write_code(folder)
    write_redial(folder)
    return folder


def write_details(folder: Path) -> None:
    """Write what MovieLens 100K with texts says of its films: each of four kinds has its words."""
    words = ("a war of two kings", "love in a small town", "ships among stars", "jazz and murder")
    with (folder / "details.jsonl").open("w") as file:
        for item in range(1, 41):
            told = {"movie_id": str(item), "description": f"{words[item % 4]}, part {item}"}
            told |= {"director": [f"Director {item % 7}"], "writer": [f"Writer {item % 9}"]}
            told |= {"cast": [f"Actor {item % 5}", f"Actor {item % 11}"], "age_rating": "PG"}
            file.write(json.dumps(told) + "\n")


def write_sittings(folder: Path) -> None:
    """Write ratings of 24 users in four sittings of five films, who like films of one kind."""
    rows = []
    for user in range(1, 25):
        for sitting in range(4):
            for step in range(5):
                item = 1 + (user * 7 + sitting * 10 + step * 3) % 40
                rating = 5 if item % 4 == user % 4 or step == 0 else 2
                rows.append(f"{user}\t{item}\t{rating}\t{1_000_000 + sitting * 5_000 + step}")
    (folder / SITTINGS).write_text("\n".join(rows) + "\n")


def write_articles(folder: Path) -> None:
    """Write articles in the layout of MSN: a category has its words, which some articles lack."""
    words = ("match", "shares", "soup", "song", "vote", "storm", "planet", "novel")
    lines = []
    for n in range(80):
        kind, text = f"kind{n % 8}", f"a {words[(n + (n % 3 == 0)) % 8]} today"
        lines.append(f"N{n}\t{kind}\t{kind}{n % 2}\t{text} {n}\t\tAgain {text}, part {n}.")
    (folder / "DocFeatures.tsv").write_text("\n".join(lines) + "\n")


def write_names(folder: Path, items: pl.DataFrame, names: Sequence[str]) -> None:
    """Write what Beauty calls its items, users and attributes, and words about the items."""
    codes = {f"B{row:04}": str(row + 1) for row in range(len(items))}
    users = {f"A{row:04}": str(row + 1) for row in range(60)}
    attributes = {str(row + 1): name for row, name in enumerate(names)}
    maps = {"item2id": codes, "user2id": users, "id2attribute": attributes}
    (folder / "datamaps.json").write_text(json.dumps(maps))
    words = items.select(pl.concat_str("category", "brand", separator=" ")).to_series()
    lines = [f"{code} {told}" for code, told in zip(codes, words, strict=True)]
    (folder / "item_keywords.txt").write_text("\n".join(lines) + "\n")


def write_posters(folder: Path) -> None:
    """Write vectors of posters: all films but four have one, which shows their kind."""
    posters = pl.DataFrame({"item": range(1, 37), "poster": range(101, 137)})
    posters.write_csv(folder / "movielens_100k.csv")
    rows = []
    for poster in posters["poster"]:
        for number, box in enumerate(boxes(2)):
            vector = [float(poster % 4 == kind) + number / 10 for kind in range(6)]
            area = (box.right - box.left) * (box.bottom - box.top)
            known = {"id": f"{poster}#{number}", "area": area, "vector": vector}
            rows.append(known | box._asdict())
    pl.DataFrame(rows).write_parquet(folder / "posters.parquet")


def write_outfits(folder: Path) -> None:
    """Write outfits in the layout of NGNN: their four categories are of one of three kinds."""
    outfits = [
        {
            "set_id": str(1000 + number),
            "items_index": [1, 2, 3, 4],
            "items_category": [10 * (number % 3) + (number + step) % 5 for step in range(4)],
        }
        for number in range(60)
    ]
    for part, rows in (("train", outfits[:50]), ("test", outfits[50:])):
        (folder / f"{part}_no_dup_new_toy.json").write_text(json.dumps(rows))
    names = [{"id": n, "name": f"Category {n}"} for n in range(30)]
    (folder / "category_summarize_toy.json").write_text(json.dumps(names))


def write_lines(folder: Path, rows: pl.DataFrame, items: pl.DataFrame) -> None:
    """Write invoices in the layout of Online Retail; some of the products are Beauty's too."""
    words = items.select(pl.concat_str("category", "brand", separator=" ")).to_series()
    lines = rows.select(
        pl.col("user").alias("InvoiceNo"),
        pl.col("item").add(20).alias("StockCode"),
        pl.col("item").map_elements(lambda item: words[item - 1], pl.String).alias("Description"),
        pl.lit(1).alias("Quantity"),
        pl.from_epoch("time").dt.strftime("%m/%d/%Y %H:%M").alias("InvoiceDate"),
        pl.lit(2.5).alias("UnitPrice"),
        pl.col("user").alias("CustomerID"),
        pl.lit("France").alias("Country"),
    )
    lines.write_csv(folder / "data.csv")


def write_clicks(folder: Path, rows: pl.DataFrame) -> None:
    """Write sessions in the layout of prepared subsets of YOOCHOOSE; each user is a session."""
    names = {"SessionId": "user", "ItemId": "item", "Time": "time"}
    clicks = rows.select(pl.col(name).alias(header) for header, name in names.items())
    for part, some in (("train_full", clicks[:-1]), ("test", clicks[-1:])):
        some.write_csv(folder / f"yoochoose-clicks-toy_{part}.txt", separator="\t")


def write_hospital(folder: Path) -> None:
    """Write visits of MIMIC-III: patients of three illnesses, every third of them comes twice."""
    visits = [(patient, patient) for patient in range(1, 37)]
    visits += [(patient, 36 + patient // 3) for patient in range(3, 37, 3)]
    tables: dict[str, list[dict[str, Any]]] = {
        "PATIENTS": [{"subject_id": n, "gender": "MF"[n % 2]} for n in range(1, 37)],
        "ADMISSIONS": [
            {
                "subject_id": patient,
                "hadm_id": visit,
                "admittime": f"2100-{1 + (visit > 36)}-02 03:00:00",
                "admission_type": ("URGENT", "ELECTIVE")[visit % 2],
                "diagnosis": "PAIN",
            }
            for patient, visit in visits
        ],
        "DIAGNOSES_ICD": [
            {
                "hadm_id": visit,
                "seq_num": n + 1,
                "icd9_code": f"{401 + patient % 3}{(visit + n) % 5}",
            }
            for patient, visit in visits
            for n in range(3)
        ],
        "PROCEDURES_ICD": [
            {"hadm_id": visit, "seq_num": 1, "icd9_code": f"{3600 + patient % 3}"}
            for patient, visit in visits
        ],
        "PRESCRIPTIONS": [
            {"hadm_id": visit, "drug": f"Drug {8 * (patient % 3) + (visit + n) % 8}", "ndc": "0"}
            for patient, visit in visits
            for n in range(4)
        ],
    }
    for name, rows in tables.items():
        pl.DataFrame(rows).write_csv(folder / f"{name}.csv")


def write_movielens_kg(folder: Path, rows: pl.DataFrame) -> None:
    """Write the files of MovieLens 1M with its graph: 60 users, 40 films, 12 people of DBpedia."""
    (folder / "mapping").mkdir()
    place = rows.select(
        "user", "item", one=pl.lit(1), time="time", part=pl.col("user").cum_count().over("user")
    ).with_columns(
        part=(pl.col("part") * 5 - 1) // pl.len().over("user")  # fifths of each history
    )
    for name, fifths in (("train", (0, 1, 2)), ("valid", (3,)), ("test", (4,))):
        kept = place.filter(pl.col("part").is_in(fifths)).drop("part")
        kept.write_csv(folder / f"mapping/{name}.txt", separator="\t", include_header=False)

    def table(name: str, head: str, lines: list[str]) -> None:
        text = "\n".join([head, *lines]).replace(" ", "\t")
        (folder / name).write_text(text + "\n")

    table("mapping/user.txt", "new_id uid", [f"{n} {n + 100}" for n in range(1, 61)])
    table("mapping/product.txt", "new_id pid", [f"{n} {n + 200}" for n in range(1, 41)])
    table("users.txt", "uid gender age", [f"{n + 100} {'MF'[n % 2]} young" for n in range(1, 61)])
    films = [f"{n + 200} Film{n} {'Drama|Comedy' if n % 3 else 'War'}" for n in range(1, 41)]
    table("products.txt", "pid name genre", films)
    table("i2kg_map.txt", "eid pid name", [f"{n} {n + 200} Film{n}" for n in range(1, 41)])
    table("e_map.txt", "eid name", [f"{n} Name{n}" for n in range(1, 53)])
    triples = [f"{n} {n % 11} {41 + n % 12}" for n in range(1, 41)]
    table("kg_final.txt", "entity_head relation entity_tail", triples)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a shipped recipe made small, with further overrides."""
    lists = tmp_path_factory.mktemp("cards") / "lists.yaml"
    (card,) = [file for file in card_files() if file.name == f"{LISTS}.yaml"]
    lists.write_text(card.read_text(encoding="utf-8").replace("file: u.data", f"file: {SITTINGS}"))

    def make(name: str, *overrides: str) -> Recipe:
        ranks = load_recipe(name).evaluate.asked.outcome == "Ranks"
        fitting = [*([FEW] if ranks else []), *INSTEAD.get(name, ())]
        fitting += [f"data.card={lists}"] if load_recipe(name).data.card == LISTS else []
        theirs = config_of(load_recipe(name).model.backbone)["name"] == "hugging_face"
        sizes = [each for each in SMALL if not (theirs and "layers" in each)]
        return load_recipe(name, [*sizes, *fitting, *overrides])

    return make


def write_events(folder: Path, rows: pl.DataFrame) -> None:
    """Write events in the layout of Retailrocket: all is viewed, and what was liked then bought."""
    columns = {"visitorid": pl.col("user"), "itemid": pl.col("item")}
    views = rows.select(timestamp=pl.col("time") * 1000, event=pl.lit("view"), **columns)
    liked = rows.filter(pl.col("rating") > 2)
    after = pl.col("time") * 1000 + 500_000
    buys = liked.select(timestamp=after, event=pl.lit("transaction"), **columns)
    carts = liked.select(timestamp=after - 1000, event=pl.lit("addtocart"), **columns)
    pl.concat([views, carts, buys]).write_csv(folder / "events.csv")


def write_talks(folder: Path) -> None:
    """Write dialogues in the layout of OpenDialKG: each asks for a film of a director."""
    films = [f"Film {number}" for number in range(60)]
    people = [f"Person {number}" for number in range(12)]
    ids = {name: number for number, name in enumerate([*films, *people])}
    known = {str(ids[film]): [[0, ids[people[n % 12]]]] for n, film in enumerate(films)}
    (folder / "entity2id.json").write_text(json.dumps(ids))
    (folder / "relation2id.json").write_text(json.dumps({"director": 0}))
    (folder / "item_ids.json").write_text(json.dumps([ids[film] for film in films]))
    (folder / "kg.json").write_text(json.dumps(known))
    turns = []
    for number in range(150):
        person, film = people[number % 12], films[(number * 7 + number % 12) % 60]
        asked = f"Do you know a film by {person}?"
        turns.append(
            {
                "dialog_id": number,
                "turn_id": 1,
                "context": [asked],
                "entity": [person],
                "rec": [film],
                "resp": f"You may like {film} by {person}.",
            }
        )
    for part, rows in (("train", turns[:100]), ("valid", turns[100:120]), ("test", turns[120:])):
        lines = "\n".join(map(json.dumps, rows)) + "\n"
        (folder / f"{part}_data_processed.jsonl").write_text(lines)


def write_redial(folder: Path) -> None:
    """Write dialogues in the layout of ReDial: who asks for a film hears of the next one."""
    films = {str(100 + number): f"Film {number} (1999)" for number in range(60)}
    names = list(films)
    dialogues = []
    for number in range(120):
        asked, offered = names[number % 60], names[(number * 7 + number % 11) % 60]
        texts = [f"I liked @{asked}.", f"Then see @{offered}!", "Thanks."]
        dialogues.append(
            {
                "conversationId": str(number),
                "initiatorWorkerId": number % 7,
                "respondentWorkerId": 10 + number % 5,
                "movieMentions": {name: films[name] for name in (asked, offered)},
                "initiatorQuestions": {},
                "respondentQuestions": {},
                "messages": [
                    {"text": text, "senderWorkerId": number % 7 if place != 1 else 10 + number % 5}
                    for place, text in enumerate(texts)
                ],
            }
        )
    for part, rows in (("train", dialogues[:90]), ("test", dialogues[90:])):
        lines = "\n".join(map(json.dumps, rows)) + "\n"
        (folder / f"{part}_data.jsonl").write_text(lines)


def write_code(folder: Path) -> None:
    """Write twenty Python packages; a third of their functions call numpy, after its own call."""
    kinds = ("numpy", "json", "math")
    for project in range(20):
        package = folder / f"project{project}"
        package.mkdir()
        lines = [f"import {name}" for name in kinds]
        for number in range(9):
            library = kinds[number % 3]
            lines += [f"def function{number}(x):"]
            lines += [f"    {library}.step{(number + place) % 4}(x)" for place in range(3)]
        (package / "__init__.py").write_text("\n".join(lines) + "\n")

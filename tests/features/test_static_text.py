"""Text as the mean of its words."""

import torch


def test_text_is_the_mean_of_its_words(graph, made):
    feature = made(graph, {"name": "static_text", "columns": ["title"], "buckets": 5000})
    words, table = feature.feature.words, feature.feature.table.weight
    assert words.encode("A Pen, a pen!") == words.encode("a pen a PEN")
    a, red, pen = (table[words.encode(word)[0]] for word in ("a", "red", "pen"))
    torch.testing.assert_close(feature(0)[0], (a + red + pen) / 3)
    torch.testing.assert_close(feature(1)[0], (a + pen) / 2)
    assert not feature(2).any()


def test_text_of_several_columns_is_one_bag(graph, made):
    config = {"name": "static_text", "columns": ["note", "color", "title"], "buckets": 5000}
    feature = made(graph, config)
    words, table = feature.feature.words, feature.feature.table.weight
    for node, text in ((0, "new red a red pen"), (1, "blue a pen"), (2, "old pen")):
        rows = table[torch.tensor(words.encode(text))]
        torch.testing.assert_close(feature(node)[0], rows.mean(0))


def test_a_tokenizer_of_ones_own(graph, made):
    class Letters:
        def encode(self, text):
            return [ord(letter) % 7 for letter in text]

        def __len__(self):
            return 7

    feature = made(graph, {"name": "static_text", "columns": ["note"], "tokenizer": Letters()})
    rows = feature.feature.table.weight[torch.tensor([ord(c) % 7 for c in "new"])]
    torch.testing.assert_close(feature(0)[0], rows.mean(0))

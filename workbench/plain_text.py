"""Plain English on many things, in our own words: what a decoder's text ability is measured on without a file."""

TEXT = """\
The ferry left the small harbour shortly after six. On the upper deck a woman in a green coat counted the gulls that
followed the ship, while her brother read the timetable for the third time. They had never travelled so far north
before, and neither of them knew whether the guest house would still have a room. When the lighthouse had
disappeared behind the rain, the captain announced that the crossing would take an hour longer than usual, because
the wind had turned.

Bread needs little more than flour, water, salt and time. Mix the first three, leave the dough in a cool place until
the next morning, and fold it once or twice when you happen to pass by. The longer it rests, the more flavour it
develops. Bake it in a very hot oven with a bowl of water at the bottom, so that the crust stays soft while the loaf
rises. It is done when it sounds hollow as you knock on it from below.

A river does not flow at the same speed everywhere. It is slowest along its bed and its banks, where the water rubs
against stones and roots, and fastest a little below the surface in the middle. In a bend the outer bank is worn
away, while sand settles along the inner one. Over many years the bend grows wider, until during some flood the
river finds a shorter way and leaves behind a lake in the shape of a horseshoe.

"Have you paid the electricity bill?" he asked. She looked up from her newspaper. "Twice," she said, "because the
first time I sent the money to the wrong company. They promised to return it by the end of the month." He laughed,
put on his shoes and went out to buy milk, two lemons and a box of matches.

In 1923 the town had eleven bakeries, four schools and one cinema with ninety seats. Most families worked in the
glass factory at the edge of the forest. After the railway station was closed, many of the young people moved to the
city, and the houses along the old road stood empty. Today some of them have been repaired. There is a library
again, a workshop in which bicycles are mended, and on Saturdays a market where farmers sell apples, honey and
cheese.

To divide one fraction by another, multiply the first by the second turned upside down. Three quarters divided by
one half, for example, is three quarters times two, which makes one and a half. The rule looks like a trick, but the
reason is simple: one half fits into one exactly twice, so it fits into any number twice as often as one does.
"""

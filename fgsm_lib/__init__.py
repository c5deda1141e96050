"""The Fast Gradient Sign Method (FGSM), in the words of the field.

Read the modules in this order; each imports only from those above it:

``datasets``     labeled photographs, as the folder-and-CSV layout of the NIPS 2017 set
``classifiers``  a torchvision network that takes pixels in [0, 1] and returns logits
``attacks``      the input gradient and FGSM
``sweep``        one gradient per image, one forward pass per epsilon, into the rows of a table
``shards``       the table in a file, in pieces of which none is lost or computed twice
``analysis``     what is computed from that table
``figures``      what is drawn from it

What some pages add to these, each with its sentences and figures: ``minimal`` and ``survival``
(the smallest step that fools each image, and Hypothesis 1), ``perception`` and ``visibility`` (how
well a step can be seen), ``neighbors`` and ``shapes`` (where fooled images go, and along which
curves), ``objectives`` (what the choice of J does), ``claims`` and ``ledger`` (the original page's
statements), ``slider`` (ε to move), ``live`` (the classifier in a reader's browser), ``own`` and
``own_pages`` (your model and images).

``profiles`` and ``study`` say which data, classifier and epsilons go together; ``demo`` is the
set the project brings along, ``site`` builds the pages, ``bench`` measures the sweep and
``cluster`` computes it on many machines.
"""

"""The demo profile's own world: 1000 pictures of toys and a classifier that knows them.

The pictures, from the ground up:

=============  ==================================================================
``solids``     ten shapes as signed distance fields
``patterns``   five surface patterns
``textures``   smooth noise, blur and colors, the raw material of the studio
``backdrops``  what stands behind the toy
``scene``      every random decision behind a picture, as plain values
``render``     from these values to pixels
``images``     ``picture(seed, index)`` and the 50 class names
``dataset``    the 1000 pictures on disk, in the layout of the NIPS 2017 set
``roles``      the order of the 1000
=============  ==================================================================

The classifier:

=============  ==================================================================
``splits``     pictures for training and validation
``recipe``     the stages of the training, and evaluation
``train``      the program that makes the shipped weights
``measure``    what the weights do on the 1000
``numbering``  which pictures stand at positions 766, 132 and 528, and why
``card``       the model card
=============  ==================================================================

``story`` tells the pages about both; ``png``, ``version`` and ``workers`` are tools.
"""

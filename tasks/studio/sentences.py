"""Sentences for the studio's speakers: a grammar per language, thousands of different ones, split for training and
testing.

A sentence belongs to one split for good, by the hash of its words, so what is tested was never heard in training.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "val", "test")
_TRAIN_SHARE, _VAL_SHARE = 80, 10


@dataclass(frozen=True)
class Grammar:
    """Word groups that combine freely: opener? subject verb object ending? A remark stands alone."""

    openers: tuple[str, ...]
    subjects: tuple[str, ...]
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    endings: tuple[str, ...]
    remarks: tuple[str, ...]


def _groups(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split("|"))


GRAMMARS: dict[str, Grammar] = {
    "en": Grammar(
        _groups(
            "Yesterday | This morning | Before the storm | Last Friday | By pure chance | After breakfast"
            " | In the autumn | Perhaps | Twice a week | When we arrived | On the way home | Every summer"
            " | Without a word | Somehow | During the war"
        ),
        _groups(
            "my brother | the old farmer | Barbara | our new neighbour | the captain | nobody | a quiet painter"
            " | the mayor of Paris | George | your cousin Philip | the bus driver | a famous poet"
            " | my grandmother | the whole family | Amy | Peter | the woman from the bakery | somebody"
            " | Doctor Webb | the youngest nurse"
        ),
        _groups(
            "found | has sold | wanted to buy | forgot about | will never leave | painted | always loved | opened"
            " | carried | talked about | would have burned | hid | moved | has been looking for | fixed"
            " | threw away | remembered | borrowed | saw"
        ),
        _groups(
            "the big blue boat | a bowl of warm soup | the broken window | five thousand books | our old piano"
            " | a beautiful map of Rome | the missing papers | her favourite coffee cup | a box full of apples"
            " | the heavy wooden door | a very small violin | three white horses | the letter from Vienna"
            " | my umbrella | an empty bottle | the oldest photo album | some cheap shoes"
            " | the father of the bride | a piece of chocolate | the golden watch | both of us | a wolf"
        ),
        _groups(
            "in the garden | near the river | before anyone woke up | with both hands | for half the price"
            " | behind the church | because of the weather | on the top shelf | and laughed | as if by magic"
            " | without telling me why | at the market | from the very beginning | on a foggy evening"
            " | but nobody believed it | under the bridge | just for fun"
        ),
        _groups(
            "What a wonderful surprise! | I do not know what you mean. | Could you please open the window?"
            " | That is far too much. | We have to move quickly now. | How many people are coming?"
            " | Give me five more minutes. | Everything will be fine. | Who told you about that?"
            " | Please put it back on the table. | I have never been so happy. | Stop pushing me!"
            " | Maybe we should wait for them. | You must be joking. | Thank you very much for the flowers."
            " | Where did you buy it?"
        ),
    ),
    "de": Grammar(
        _groups(
            "Gestern | Heute Morgen | Vor dem Sturm | Im Herbst | Am Freitag | Leider | Zum Glück"
            " | Auf dem Heimweg | Jeden Sommer"
        ),
        _groups(
            "mein Bruder | der alte Bauer | Barbara | unsere Nachbarin | der Kapitän | niemand"
            " | ein berühmter Dichter | meine Oma | der Busfahrer | die junge Ärztin | Peter | die ganze Familie"
            " | Onkel Wolfgang"
        ),
        _groups(
            "fand | verkaufte | malte | öffnete | suchte | vergaß | trug | reparierte | liebte | bewunderte"
            " | brauchte | sah"
        ),
        _groups(
            "das große blaue Boot | eine Schüssel Suppe | das kaputte Fenster | fünf schöne Bücher"
            " | das alte Klavier | einen Apfel | die wichtigen Papiere | eine Tasse Kaffee | die schwere Tür"
            " | drei weiße Pferde | den Brief aus Wien | meinen Regenschirm | ein paar billige Schuhe"
            " | ein Stück Schokolade | die goldene Uhr | einen Wolf | den Pullover aus Wolle"
        ),
        _groups(
            "im Garten | am Fluss | mit beiden Händen | zum halben Preis | hinter der Kirche | wegen des Wetters"
            " | auf dem Markt | ohne ein Wort | von Anfang an | unter der Brücke | nur so zum Spaß | bei Nebel"
        ),
        _groups(
            "Was für eine Überraschung! | Ich weiß nicht, was du meinst. | Kannst du bitte das Fenster öffnen?"
            " | Das ist viel zu viel. | Wir müssen uns jetzt beeilen. | Wie viele Leute kommen heute?"
            " | Alles wird gut. | Wer hat dir davon erzählt? | Vielen Dank für die Blumen."
            " | Vielleicht sollten wir warten. | Ich war noch nie so froh. | Hör auf damit!"
        ),
    ),
    "fr": Grammar(
        _groups(
            "Hier | Ce matin | Avant la tempête | Vendredi dernier | Par hasard | En automne | Après le repas"
            " | Chaque été | Un beau jour"
        ),
        _groups(
            "mon frère | le vieux fermier | Barbara | notre voisine | le capitaine | un peintre célèbre"
            " | ma grand-mère | la boulangère | le chauffeur du bus | toute la famille | Philippe"
            " | la jeune femme | son oncle"
        ),
        _groups(
            "a trouvé | a vendu | a peint | a ouvert | cherchait | a oublié | portait | aimait | voulait"
            " | a perdu | regardait"
        ),
        _groups(
            "le grand bateau bleu | un bol de soupe | la fenêtre cassée | cinq beaux livres | le vieux piano"
            " | une pomme verte | les papiers importants | une tasse de café | la lourde porte"
            " | trois chevaux blancs | la lettre de Vienne | mon parapluie | un morceau de chocolat"
            " | la montre en or | un petit violon | une bouteille vide | deux œufs"
        ),
        _groups(
            "dans le jardin | près du fleuve | avec les deux mains | à moitié prix | derrière l'église"
            " | à cause du temps | au marché | sans un mot | depuis le début | sous le pont | pour le plaisir"
            " | au bout du monde"
        ),
        _groups(
            "Quelle belle surprise! | Je ne sais pas ce que tu veux dire. | Peux-tu ouvrir la fenêtre?"
            " | C'est beaucoup trop. | Il faut partir tout de suite. | Tout ira bien. | Qui t'a parlé de cela?"
            " | Merci beaucoup pour les fleurs. | Nous devrions peut-être attendre. | Arrête de me pousser!"
            " | Combien de personnes viennent ce soir?"
        ),
    ),
    "es": Grammar(
        _groups(
            "Ayer | Esta mañana | Antes de la tormenta | El viernes | Por casualidad | En otoño"
            " | Después de comer | Cada verano | Quizás"
        ),
        _groups(
            "mi hermano | el viejo granjero | Bárbara | nuestra vecina | el capitán | un pintor famoso"
            " | mi abuela | la panadera | el conductor | toda la familia | Felipe | la joven enfermera | su primo"
        ),
        _groups(
            "encontró | vendió | pintó | abrió | buscaba | olvidó | llevaba | amaba | quería comprar | perdió"
            " | miraba | reparó"
        ),
        _groups(
            "el gran barco azul | un plato de sopa | la ventana rota | cinco libros viejos | el piano blanco"
            " | una manzana verde | los papeles importantes | una taza de café | la puerta de madera"
            " | tres caballos blancos | la carta de Viena | mi paraguas | un trozo de chocolate | el reloj de oro"
            " | un pequeño violín | una botella vacía"
        ),
        _groups(
            "en el jardín | cerca del río | con las dos manos | a mitad de precio | detrás de la iglesia"
            " | por el mal tiempo | en el mercado | sin decir nada | desde el principio | debajo del puente"
            " | por pura diversión"
        ),
        _groups(
            "¡Qué bonita sorpresa! | No sé qué quieres decir. | ¿Puedes abrir la ventana, por favor?"
            " | Eso es demasiado. | Tenemos que irnos ahora mismo. | Todo va a salir bien."
            " | ¿Quién te lo ha dicho? | Muchas gracias por las flores. | Tal vez deberíamos esperar."
            " | ¡Deja de empujarme! | ¿Cuántas personas vienen hoy?"
        ),
    ),
    "it": Grammar(
        _groups(
            "Ieri | Stamattina | Prima della pioggia | Venerdì scorso | Per caso | In autunno | Dopo pranzo"
            " | Ogni estate | Forse"
        ),
        _groups(
            "mio fratello | il vecchio contadino | Barbara | la nostra vicina | il capitano | un pittore famoso"
            " | mia nonna | la fornaia | l'autista | tutta la famiglia | Filippo | la giovane infermiera"
            " | suo cugino"
        ),
        _groups(
            "ha trovato | ha venduto | ha dipinto | ha aperto | cercava | ha perso | portava | amava"
            " | voleva comprare | guardava | vide"
        ),
        _groups(
            "la grande barca blu | un piatto di zuppa | la finestra rotta | cinque vecchi libri"
            " | il pianoforte bianco | una mela verde | i documenti importanti | una tazza di caffè"
            " | la porta di legno | tre cavalli bianchi | la lettera da Vienna | il mio ombrello"
            " | un pezzo di cioccolato | l'orologio d'oro | un piccolo violino | una bottiglia vuota"
        ),
        _groups(
            "nel giardino | vicino al fiume | con tutte e due le mani | a metà prezzo | dietro la chiesa"
            " | per il maltempo | al mercato | senza dire niente | fin dall'inizio | sotto il ponte"
            " | per puro divertimento"
        ),
        _groups(
            "Che bella sorpresa! | Non so che cosa vuoi dire. | Puoi aprire la finestra, per favore?"
            " | Questo è davvero troppo. | Dobbiamo andare via subito. | Andrà tutto bene."
            " | Chi te ne ha parlato? | Grazie mille per i fiori. | Forse dovremmo aspettare."
            " | Smettila di spingere! | Quante persone vengono stasera?"
        ),
    ),
    "pt": Grammar(
        _groups(
            "Ontem | Esta manhã | Antes da chuva | Na sexta-feira | Por acaso | No outono | Depois do almoço"
            " | Todo verão | Talvez"
        ),
        _groups(
            "meu irmão | o velho fazendeiro | Bárbara | a nossa vizinha | o capitão | um pintor famoso"
            " | minha avó | a padeira | o motorista | toda a família | Filipe | a jovem enfermeira | o primo dele"
        ),
        _groups(
            "encontrou | vendeu | pintou | abriu | procurava | esqueceu | levava | amava | queria comprar"
            " | perdeu | olhava"
        ),
        _groups(
            "o grande barco azul | um prato de sopa | a janela quebrada | cinco livros velhos | o piano branco"
            " | uma maçã verde | os papéis importantes | uma xícara de café | a porta de madeira"
            " | três cavalos brancos | a carta de Viena | um pedaço de chocolate | o relógio de ouro"
            " | um pequeno violino | uma garrafa vazia"
        ),
        _groups(
            "no jardim | perto do rio | com as duas mãos | pela metade do preço | atrás da igreja"
            " | por causa do tempo | no mercado | sem dizer nada | desde o começo | debaixo da ponte"
            " | por pura diversão"
        ),
        _groups(
            "Que bela surpresa! | Não sei o que você quer dizer. | Você pode abrir a janela, por favor?"
            " | Isso é demais. | Temos que sair agora mesmo. | Vai ficar tudo bem. | Quem falou sobre isso?"
            " | Muito obrigado pelas flores. | Talvez devêssemos esperar. | Pare de me empurrar!"
            " | Quantas pessoas vêm hoje?"
        ),
    ),
    "nl": Grammar(
        _groups(
            "Gisteren | Vanmorgen | Voor de storm | Afgelopen vrijdag | Toevallig | In de herfst | Na het ontbijt"
            " | Elke zomer | Misschien"
        ),
        _groups(
            "mijn broer | de oude boer | Barbara | onze buurvrouw | de kapitein | een beroemde dichter | mijn oma"
            " | de bakker | de buschauffeur | de hele familie | Filip | de jonge dokter"
        ),
        _groups(
            "vond | verkocht | opende | zocht | vergat | droeg | bewonderde | bekeek | wilde graag | zag | pakte"
        ),
        _groups(
            "de grote blauwe boot | een kom warme soep | het kapotte raam | vijf mooie boeken | de oude piano"
            " | een groene appel | de belangrijke papieren | een kopje koffie | de zware deur"
            " | drie witte paarden | de brief uit Wenen | mijn paraplu | een stuk chocola | het gouden horloge"
            " | een kleine viool | een lege fles"
        ),
        _groups(
            "in de tuin | bij de rivier | met beide handen | voor de halve prijs | achter de kerk"
            " | vanwege het weer | op de markt | zonder een woord | vanaf het begin | onder de brug"
            " | gewoon voor de lol"
        ),
        _groups(
            "Wat een mooie verrassing! | Ik weet niet wat je bedoelt. | Kun je het raam even openen?"
            " | Dat is veel te veel. | We moeten nu snel weg. | Alles komt goed. | Wie heeft je dat verteld?"
            " | Heel erg bedankt voor de bloemen. | Misschien moeten we wachten. | Hou op met duwen!"
            " | Hoeveel mensen komen er vanavond?"
        ),
    ),
}  # fmt: skip
_VERB_SECOND = ("de", "nl")


def split_of(text: str) -> str:
    """The split ("train", "val" or "test": 80, 10 and 10 %) that a sentence belongs to, by the hash of its words."""
    share = int.from_bytes(hashlib.blake2b(text.lower().encode(), digest_size=4).digest(), "little") % 100
    return "train" if share < _TRAIN_SHARE else "val" if share < _TRAIN_SHARE + _VAL_SHARE else "test"


def sample_sentence(rng: np.random.Generator, language: str = "en", split: str | None = None) -> str:
    """A sentence of `language` from `split` (any where None), drawn from `rng`. ValueError for an unknown language or
    split.
    """
    if language not in GRAMMARS or split not in (None, *SPLITS):
        raise ValueError(f"no sentences for language {language!r}, split {split!r}: {tuple(GRAMMARS)}, {SPLITS}")
    while True:
        text = _compose(rng, language)
        if split is None or split_of(text) == split:
            return text


def _compose(rng: np.random.Generator, language: str) -> str:
    grammar = GRAMMARS[language]
    if rng.random() < 0.12:
        return str(rng.choice(grammar.remarks))
    subject, verb, thing = (str(rng.choice(group)) for group in (grammar.subjects, grammar.verbs, grammar.objects))
    words = [subject, verb, thing]
    if rng.random() < 0.45:
        opener = str(rng.choice(grammar.openers))
        words = [opener, verb, subject, thing] if language in _VERB_SECOND else [f"{opener},", subject, verb, thing]
    if rng.random() < 0.6:
        words.append(str(rng.choice(grammar.endings)))
    text = " ".join(words)
    return text[0].upper() + text[1:] + "."

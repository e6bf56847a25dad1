# Every fenced block of README.md and docs/ is tried against what `make run`
# starts: commands are typed and answered as shown, configurations pass nginx -t,
# programs run.  What can't be tried is marked as text.

use Mojo::Base -strict, -signatures;
use Chatmaid::Test::Docs;
use Test::More;

binmode $_, ':utf8' for Test::More->builder->output, Test::More->builder->failure_output;

my @blocks = blocks;
my $world  = Chatmaid::Test::Docs->start;
my %count;

# What the sandbox knows, and what security.md puts in its place.
my @KEYS = qw(sk_test_local_sandbox sk_test_local_sandbox_next);

# What a page takes for granted, and what it leaves behind.
my %BEFORE = (
    # Its walk-through is done under load.
    'security' => sub {
        $world->ask('config', keys => [map { {key => $_, account => 'sandbox'} } @KEYS]);
        $world->load;
    },
    'inbox' => sub { $world->reconfigure(sub { s/# (chatmaid_webhook_stream)/$1/ or die }) },
);

my %AFTER = (
    'security' => sub {
        $world->wait_for(sub { $world->ask('requests', last => 1)->[0]{key} eq $KEYS[1] }, 'the new key to be in use');
        is(join(' ', grep { $_ ne '201' } $world->unload), '', 'a new key under load: no send failed');
        my %used = map { $_->{key} => 1 } @{$world->ask('requests', path => '/v1/messages/send')};
        is_deeply([sort keys %used], [sort @KEYS], 'and both keys were used');
    },
    'inbox' => sub { $world->reconfigure(sub { s/(chatmaid_webhook_stream)/# $1/ or die }) },
);

# Files of a page: the first line is their name in a comment.
sub file_of ($block) {
    my ($name) = $block->{text} =~ m{\A(?:#!.*\n)?(?:#|//) ([\w.-]+)\n} or return;
    $world->work->child($name)->spew(Mojo::Util::encode('UTF-8', $world->here($block->{text})));
    return $name;
}

my %TRY = (
    console => sub ($block) {
        for my $step (steps($block->{text})) {
            my $waits = $step->{command} =~ /\bwait=/;
            $world->moving if $waits;
            my $said = $world->typed($step->{command});
            $world->still if $waits;
            is(differs($world->here($step->{answer}), $said), '', "$block->{at}: $step->{command}");
        }
    },
    sh => sub ($block) {
        my $said = $world->typed($block->{text}, strict => 1);
        is($?, 0, "$block->{at}: runs") or diag($said);
    },
    nginx => sub ($block) {
        my $needed = too_new($block->{text});
        return pass("$block->{at}: for nginx $needed, not tried") if $needed;
        my ($status, $said) = $world->nginx_t($block->{text});
        is($status, 0, "$block->{at}: nginx -t") or diag($said);
        unlike($said, qr/\[(?:warn|error)\]/, "$block->{at}: no warning");
    },
    python => sub ($block) {
        my $name = file_of($block) or return fail("$block->{at}: has no name");
        $world->typed("python3 -m py_compile $name", strict => 1);
        is($?, 0, "$block->{at}: is Python");
    },
    js => sub ($block) {
        my $name = file_of($block) or return fail("$block->{at}: has no name");
        $world->typed("node --check $name", strict => 1);
        is($?, 0, "$block->{at}: is JavaScript");
    },
    bash => sub ($block) {
        my $name = file_of($block) or return fail("$block->{at}: has no name");
        $world->typed("bash -n $name", strict => 1);
        is($?, 0, "$block->{at}: is a script");
    },
    yaml => sub ($block) {
        $world->work->child('block.yaml')->spew($block->{text});
        $world->typed('python3 -c "import sys, yaml; assert list(yaml.safe_load_all(open(sys.argv[1])))" block.yaml');
        is($?, 0, "$block->{at}: is YAML");
    },

    # systemd says what it does not know, where there is a systemd.
    ini => sub ($block) {
        unlike($block->{text}, qr/^(?!\[\w+\]$|\w+=|$)/m, "$block->{at}: sections and settings");
        $world->typed('command -v systemd-analyze') or return;
        my $unit = $world->work->child('unit')->make_path;
        $unit->child('docs-block.service')->spew("[Service]\nExecStart=/bin/true\n\n$block->{text}");
        my $said = $world->typed('systemd-analyze verify --man=no unit/docs-block.service');
        unlike($said, qr/docs-block\.service:\d+:/, "$block->{at}: systemd knows each line");
    },

    # The default of a directive is one that it takes; all else can't be tried.
    text => sub ($block) {
        if ($block->{text} !~ /\ASyntax:/) {
            $count{mere}++;
        } elsif ($block->{text} =~ /^Default: (\w.*;)$/m) {
            my ($status, $said) = $world->nginx_t($1);
            is($status, 0, "$block->{at}: the default") or diag($said);
        }
    },
);

my $page = '';
for my $block (grep { !$ENV{DOCS} || $_->{page} eq $ENV{DOCS} } @blocks) {
    $block->{at} = "$block->{page}.md:$block->{line}";
    if ($block->{page} ne $page) {
        $AFTER{$page}->() if $AFTER{$page};
        $page = $block->{page};
        $world->fresh;
        $BEFORE{$page}->() if $BEFORE{$page};
    }
    my $try = $TRY{$block->{tag}};
    if (!$try) {
        fail("$block->{at}: nobody knows how to try \"$block->{tag}\"");
        next;
    }
    $count{$block->{tag}}++;
    $try->($block);
}

$AFTER{$page}->() if $AFTER{$page};
is($world->stop, 0, 'make run ends well');


# --- The pages ---------------------------------------------------------------

for my $page ($ENV{DOCS} ? () : pages) {
    my $name = $page->basename;
    my $text = Mojo::Util::decode('UTF-8', $page->slurp);

    is(join("\n", grep { length > 100 && !/^\|/ && !/^!?\[/ } split /\n/, $text), '', "$name: lines of at most 100 columns, but for tables")
        if $name ne 'log.md';

    my $links = $text =~ s/^```.*?^```$//gmsr =~ s/`[^`\n]*`//gr;
    while ($links =~ /\]\(([^)#\s]+)(#[^)]*)?\)/g) {
        my $link = $1;
        next if $link =~ /^https?:/;
        ok(-e $page->dirname->child($link), "$name: $link is there");
    }
}

cmp_ok($count{mere}, '<=', 12, 'few blocks are mere text') if !$ENV{DOCS};
done_testing;

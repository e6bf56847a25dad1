# The walk-throughs of docs/security.md, a new API key and a new webhook secret, by
# the commands that stand there and under load: no send fails, no event is refused.
# The same with a volume of Kubernetes' secrets.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;
use List::Util qw(first);
use Mojo::File qw(path);

my $new_key    = api_key('test');
my $new_secret = secret('whsec_the-next-one-0123456789');
my $receiver   = receiver;
my $api        = sandbox(keys => [map { {key => $_, account => 'main'} } test_key, $new_key]);
my $page       = path(__FILE__)->dirname->child('../docs/security.md')->slurp;

# The shell commands below a heading of the page.
sub commands ($heading) {
    my ($section) = $page =~ /^## \Q$heading\E\n(.*?)(?=^## |\z)/ms or die "no \"$heading\"";
    return $section =~ /^```sh\n(.*?)^```$/gms;
}

sub edge_of (@files) {
    return 'location = /hooks { chatmaid_webhook on; ' . join(' ', map { "chatmaid_webhook_secret_file $_;" } @files)
        . " proxy_pass http://127.0.0.1:@{[$receiver->port]}; }";
}

sub start_nginx (%option) {
    return nginx(workers => 2, gateway => 'chatmaid_sender +15550100001;', %option, http => "chatmaid_retries 0; @{[$option{http} // '']}");
}


# --- The load ----------------------------------------------------------------

my ($nginx, @signing, @under_way, @answers, @bodies);

# So many more sends and events are answered, each event signed by one of @signing.
sub load ($more) {
    my $until = @answers + $more;
    while (@answers < $until) {
        while (@under_way < 8) {
            push @signing, shift @signing;
            push @bodies, event('message.sent');
            push @under_way, later(POST => '/send', message),
                later(POST => url('/hooks'), $bodies[-1], signed($bodies[-1], secret => $signing[0]));
        }
        wait_for(sub { grep { $_->done } @under_way }, 'an answer');
        push @answers, map { $_->answer } grep { $_->done } @under_way;
        @under_way = grep { !$_->done } @under_way;
    }
}

# Until other workers than these take the requests, and then some.
sub load_until_reloaded (@old) {
    my %old = map { $_ => 1 } @old;
    wait_for(sub { load(4); my @now = $nginx->workers; @now == 2 && !grep { $old{$_} } @now }, 'new workers');
    load(volume(500, 40));
}

sub begin ($started) {
    ($nginx, @signing) = ($started, webhook_secret);
    @under_way = @answers = @bodies = ();
    load(volume(500, 40));
}

sub finish () {
    load(volume(500, 40));
    push @answers, map { $_->result } splice @under_way;
    my %count;
    $count{told($_)}++ for @answers;
    is(join(' ', sort keys %count), '200 201', 'no send failed, no event was refused');
    is(scalar(grep { passed($receiver, $_) != 1 } @bodies), 0, 'each event was handed on once');
    is(scalar($nginx->logged(qr/chatmaid webhook refused|refuses the API key/)), 0, 'nothing in the log');
    my $asked = sub ($secret, $body = event('message.sent')) { code(post(url('/hooks'), $body, signed($body, secret => $secret))) };
    is($asked->(webhook_secret), '401 signature_mismatch', 'the old secret is refused now');
    is($asked->($new_secret), 200, 'the new one is not');
    post('/send', message);
    ok($api->last(path => '/v1/messages/send')->{key} eq $new_key, 'the new key is in use');
    $nginx->quit;
}

# As a shell says it that knows this nginx.
sub typed ($script) {
    my ($dir, $bin) = (path($nginx->dir), path(dir, 'bin')->make_path);
    my ($program, @options) = $nginx->program;
    $program = first { -x } map { "$_/nginx" } split /:/, $ENV{PATH} if $program !~ m{/};
    $bin->child('nginx')->spew("#!/bin/sh\nASAN_OPTIONS=detect_leaks=0 exec $program @options \"\$@\"\n")->chmod(0755);

    $script =~ s{/etc/nginx/chatmaid/}{$dir/}g;
    $script =~ s/sk_test_your_next_key/$new_key/;
    $script =~ s/whsec_your_next_secret/$new_secret/;
    my @old = $nginx->workers;
    my $shell = process('shell', command => ['bash', '-euo', 'pipefail', '-c', $script], env => {PATH => "$bin:$ENV{PATH}"});
    wait_for(sub { load(1); !$shell->alive }, 'the commands to end');
    is($shell->status, 0, 'the commands of the page') or diag($shell->text);
    return @old;
}


# --- The walk-throughs -------------------------------------------------------

subtest 'files' => sub {
    my @files = map { "%DIR%/$_" } qw(webhook_secret webhook_secret_next);
    begin(start_nginx(files => {webhook_secret => webhook_secret}, server => edge_of($files[0])));

    my ($key) = commands('A new API key');
    load_until_reloaded(typed($key));

    my ($add, $replace) = commands('A new webhook secret');
    $nginx->configure(server => edge_of(@files), key => $new_key);
    load_until_reloaded(typed($add));

    # Chatmaid's, and what it has signed before and sends again.
    @signing = (webhook_secret, $new_secret);
    load(volume(500, 40));
    @signing = ($new_secret);

    $nginx->configure(server => edge_of($files[0]), files => {});
    load_until_reloaded(typed($replace));
    finish;
};

# The files are behind a link, "..data", that changes when the secret does.
subtest 'a volume of Kubernetes' => sub {
    my $volume = path(dir, 'volume')->make_path;
    my %secret = (api_key => test_key, webhook_secret => webhook_secret, webhook_secret_next => webhook_secret);
    my $swap = sub (%new) {
        state $serial = 0;
        %secret = (%secret, %new);
        my $before = readlink $volume->child('..data');
        my $now    = $volume->child('..2026_11_28_' . ++$serial)->make_path;
        $now->child($_)->spew($secret{$_})->chmod(0400) for keys %secret;
        symlink $now->basename, $volume->child('..data_tmp') or die $!;
        rename $volume->child('..data_tmp'), $volume->child('..data') or die $!;
        $volume->child($before)->remove_tree if $before;
    };
    $swap->();
    symlink "..data/$_", $volume->child($_) or die $! for keys %secret;
    begin(start_nginx(name => 'volume', http => "chatmaid_api_key_file $volume/api_key;",
        server => edge_of("$volume/webhook_secret", "$volume/webhook_secret_next")));

    my $reload = sub {
        load(volume(100, 10));              # the link has changed, nginx has not looked yet
        my @old = $nginx->workers;
        $nginx->kill('HUP');
        load_until_reloaded(@old);
    };
    $swap->(api_key => $new_key, webhook_secret_next => $new_secret);
    $reload->();
    @signing = (webhook_secret, $new_secret);
    load(volume(500, 40));
    @signing = ($new_secret);
    $swap->(webhook_secret => $new_secret);
    $reload->();
    finish;
};

done;

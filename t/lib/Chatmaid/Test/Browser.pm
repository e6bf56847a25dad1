package Chatmaid::Test::Browser;

# Chromium without a screen, driven by chromedriver (W3C WebDriver).
#
#   my $browser = Chatmaid::Test::Browser->new->start;
#   $browser->open(url('/status'));
#   is($browser->run('return document.title'), 'Chatmaid gateway', 'its title');
#   is_deeply([$browser->console], [], 'it complains of nothing');

use Mojo::Base 'Chatmaid::Test::Process', -signatures;
use Carp qw(croak);
use Chatmaid::Test::World qw(test_dir free_port test_port wait_for spurt);
use IO::Socket::IP;
use Mojo::JSON qw(encode_json);
use Mojo::UserAgent;
use Mojo::Util qw(b64_decode);
use Test::More ();

has name => 'browser';
has port => sub { test_port('browser') };
has ua   => sub { Mojo::UserAgent->new(inactivity_timeout => 120, request_timeout => 120) };
has 'session';
has switches => sub { [] };        # more of Chromium's own

# Why there is no browser here, or undef.
sub missing () {
    my @missing = grep { my $name = $_; !grep { -x "$_/$name" } split /:/, $ENV{PATH} } qw(chromium chromedriver);
    return @missing ? "@missing: not installed (script/install-packages test)" : undef;
}

# Ends a test, red, where there is no browser.
sub required () {
    my $why = missing() // return;
    Test::More::fail("there is a browser: $why");
    Test::More::done_testing();
    exit;
}

# A chromedriver that is ended leaves Chromium behind; a test that dies asks it first.
my @started;
END { local $?; $_->{owner} == $$ && $_->stop for @started }

sub start ($self) {
    push @started, $self;
    $self->{owner} = $$;
    my $port = $self->port;
    free_port('browser');
    $self->command(['chromedriver', "--port=$port", '--allowed-ips=127.0.0.1']);
    $self->SUPER::start;
    wait_for(sub {
        croak 'chromedriver: ' . $self->text unless $self->alive;
        IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port);
    }, 'chromedriver');

    # all of its files are the test's own, and it asks nobody for anything
    my @switches = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--disable-sync', '--hide-scrollbars',
        '--disable-background-networking', '--disable-component-update', '--user-data-dir=' . test_dir() . '/chromium', @{$self->switches});
    my $got = $self->command_to(POST => '', {capabilities => {alwaysMatch => {
        browserName => 'chrome', 'goog:loggingPrefs' => {browser => 'ALL'}, 'goog:chromeOptions' => {args => \@switches}}}});
    $self->session($got->{sessionId});
    return $self;
}

sub command_to ($self, $method, $path, $body = undef) {
    my $url = 'http://127.0.0.1:' . $self->port . '/session' . ($self->session ? '/' . $self->session : '') . $path;
    my $tx  = $self->ua->build_tx($method => $url, $body ? (json => $body) : ());
    my $res = $self->ua->start($tx)->result;
    croak "WebDriver, $method $path: " . $res->body unless $res->is_success;
    return $res->json->{value};
}

sub open ($self, $url)              { $self->command_to(POST => '/url', {url => $url}) }
sub run ($self, $script, @args)     { $self->command_to(POST => '/execute/sync', {script => $script, args => \@args}) }
sub size ($self, $width, $height)   { $self->devtools('Emulation.setDeviceMetricsOverride', {width => $width, height => $height, deviceScaleFactor => 1, mobile => \0}) }
sub scheme ($self, $name)           { $self->devtools('Emulation.setEmulatedMedia', {features => [{name => 'prefers-color-scheme', value => $name}]}) }
sub devtools ($self, $name, $params) { $self->command_to(POST => '/goog/cdp/execute', {cmd => $name, params => $params}) }

# What it has written to the console since the last look.
sub console ($self) { map { $_->{message} } @{$self->command_to(POST => '/se/log', {type => 'browser'})} }

# The whole page as PNG; with CHATMAID_SCREENSHOTS, a directory, it stays there.
sub picture ($self, $name) {
    my $png = b64_decode($self->devtools('Page.captureScreenshot', {captureBeyondViewport => \1})->{data});
    spurt("$ENV{CHATMAID_SCREENSHOTS}/$name.png", $png, 0644) if $ENV{CHATMAID_SCREENSHOTS};
    return $png;
}

sub stop ($self) {
    eval { $self->command_to(DELETE => ''); $self->session(undef) } if $self->session && $self->alive;
    return $self->SUPER::stop;
}

1;
